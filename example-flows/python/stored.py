"""What is stored, what is refused, and what is said: the second table that every language passes."""

import logging
import sys
import urllib.request
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from retake import Failure, flow, get_run_logger, task

What = Literal[
    "nan", "nan-inside", "infinite", "nan-given", "unstorable", "cycle", "misfit", "big", "huge", "empty-list", "empty-map",
    "half-emoji", "half-emoji-said", "exit", "reason", "network", "last-print", "task-in-task", "default", "dates",
    "date-misfit", "null-or-unset",
]  # fmt: skip
# A parameter that is not given is not null. `None` is null, so this is what stands for nothing.
UNSET = "unset"
HALF = "half an emoji: \ud83d"


@task(retries=2)
def nan() -> float:
    return float("nan")


@task(retries=2)
def nan_inside() -> dict[str, list[float]]:
    return {"rows": [1.5, float("nan")]}


@task(retries=2)
def infinite() -> float:
    return float("inf")


@task
def half(x: float) -> float:
    return x / 2


@task(retries=2)
def unstorable():  # noqa: ANN201 - What it returns is not declared, so bytes have no form.
    return {"rows": [b"\x00\xff"]}


@task(retries=2)
def cycle() -> list:
    found: list[Any] = [1]
    found.append(found)
    return found


@task(retries=2)
def misfit() -> int:
    return "a text"  # type: ignore[return-value]


@task
def same(n: int) -> int:
    return n


@task
def none(form: Literal["list", "map"]) -> Any:
    return [] if form == "list" else {}


@task
def count_items(items: Any) -> int:
    return len(items)


@task(retries=2)
def half_emoji() -> str:
    return HALF


@task(name="exit")
def exit_() -> None:
    sys.exit(3)


@task
def reason() -> int:
    return [1, 2, 3][5]


@task(retries=2)
def network() -> str:
    with urllib.request.urlopen("http://example.com/") as answer:
        return answer.read().decode()


def helper(n: int) -> int:
    """What a build does not look into."""
    return same(n)


@task(retries=2)
def outer() -> int:
    return helper(1)


@dataclass
class Options:
    depth: int = 3


@task
def defaults(limit: int = 10, options: Options = Options()) -> list[int]:  # noqa: B008
    return [limit, options.depth]


@task
def day_after(day: date) -> date:
    return day + timedelta(days=1)


@flow
def store_child(items: Any) -> int:
    return len(items)


@flow(log_prints=True)
def store(what: What, day: date | Literal["unset"] | None = UNSET) -> Any:
    simple = {
        "nan": nan, "nan-inside": nan_inside, "infinite": infinite, "unstorable": unstorable, "cycle": cycle,
        "misfit": misfit, "half-emoji": half_emoji, "exit": exit_, "reason": reason, "network": network,
        "task-in-task": outer, "default": defaults,
    }  # fmt: skip
    if what in simple:
        return simple[what]()
    match what:
        case "nan-given":
            return half(float("nan"))
        case "big":
            return same(9007199254740993)
        case "huge":
            return same(123456789012345678901234567890)
        case "empty-list" | "empty-map":
            items = none(what.removeprefix("empty-"))
            return [count_items(items), store_child(items)]
        case "half-emoji-said":
            print(HALF)
            get_run_logger().log(logging.WARNING, HALF)
            raise Failure("demo.said", HALF)
        case "last-print":
            print("no end of line", end="")
            return None
        case "dates":
            return day_after(date(2026, 2, 28))
        case "date-misfit":
            return day_after("2026-02-30")  # type: ignore[arg-type]
        case "null-or-unset":
            return "unset" if day == UNSET else "null" if day is None else day
