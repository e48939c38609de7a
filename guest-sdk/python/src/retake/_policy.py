"""Retry policies, from Prefect's words to those of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

_LONGEST_DELAY = 30 * 24 * 3600
_MOST_RETRIES = 10_000
_MOST_DELAYS = 100


@dataclass(frozen=True)
class Backoff:
    """Delays of which each is twice the one before."""

    backoff_factor: float

    def __call__(self, retries: int) -> list[float]:
        return [self.backoff_factor * 2**n for n in range(retries)]


def exponential_backoff(backoff_factor: float) -> Backoff:
    """Returns delays of `backoff_factor`, twice and four times that many seconds, and so on."""
    return Backoff(backoff_factor)


Delay = float | timedelta | Iterable[float | timedelta] | Backoff | Callable[[int], Iterable[float]]


def milliseconds(name: str, value: Any, most: float = _LONGEST_DELAY) -> int:
    """Returns seconds as whole milliseconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"`{name}` is a number of seconds, not {value!r}")
    if not 0 <= seconds <= most:
        raise ValueError(f"`{name}` may be 0 to {most:.0f} seconds, not {seconds}")
    return round(seconds * 1000)


@dataclass
class Policy:
    """How a flow or a task is tried again; times are in milliseconds."""

    retries: int = 0
    # A number, a list, or a pair of the first delay and of the thousandths that the next one is of it.
    delay: int | list[int] | tuple[int, int] = 0
    delay_max: int | None = None
    jitter: int = 0
    give_up_after: int | None = None
    rules: list[tuple[list[str], str]] = field(default_factory=list)
    when_exhausted: str = "fail"


def policy(
    retries: int | None,
    delay: Any,
    *,
    jitter: float | None = None,
    delay_max: Any = None,
    give_up_after: Any = None,
    fail_on: Iterable[str | type[BaseException]] = (),
    park_on: Iterable[str | type[BaseException]] = (),
    when_exhausted: str = "fail",
) -> Policy:
    """Reads a policy as it was written, and says what is wrong with it."""
    count = 0 if retries is None else retries
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_RETRIES:
        raise ValueError(f"`retries` may be 0 to {_MOST_RETRIES}, not {retries!r}")
    if jitter is not None and not 0 <= jitter <= 1:
        raise ValueError(f"`retry_jitter_factor` may be 0 to 1, not {jitter!r}")
    if when_exhausted not in ("fail", "park"):
        raise ValueError(f'`when_exhausted` is "fail" or "park", not {when_exhausted!r}')
    rules = [([_code(it) for it in codes], action) for codes, action in ((fail_on, "fail"), (park_on, "park"))]
    return Policy(
        retries=count,
        delay=_delay(count, delay),
        delay_max=None if delay_max is None else milliseconds("retry_delay_max_seconds", delay_max),
        jitter=round((jitter or 0) * 1000),
        give_up_after=None if give_up_after is None else milliseconds("give_up_after_seconds", give_up_after, 366 * 86400),
        rules=[rule for rule in rules if rule[0]],
        when_exhausted=when_exhausted,
    )


def _delay(retries: int, delay: Any) -> int | list[int] | tuple[int, int]:
    name = "retry_delay_seconds"
    if delay is None:
        return 0
    if isinstance(delay, Backoff):
        return (milliseconds(name, delay.backoff_factor), 2000)
    if callable(delay):
        delay = list(delay(retries))
    if isinstance(delay, (list, tuple)):
        if len(delay) > _MOST_DELAYS:
            raise ValueError(f"`{name}` has {len(delay)} delays, at most {_MOST_DELAYS} are allowed")
        return [milliseconds(name, it) for it in delay] or 0
    return milliseconds(name, delay)


def _code(of: str | type[BaseException]) -> str:
    return of if isinstance(of, str) else of.__name__
