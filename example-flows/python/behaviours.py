"""What every language does alike, as a test of the host looks at it."""

import sys
from typing import Any, Literal

from retake import Failure, as_completed, context, exponential_backoff, flow, sleep, task

What = Literal[
    "success", "failure", "uncaught", "permanent", "retry-after", "map", "wait-any", "child", "kept", "print", "fresh"
]
counted = 0


@task
def double(n: int) -> int:
    return 2 * n


@task
def nap(ms: int) -> int:
    sleep(ms / 1000)
    return ms


@task(retries=3)
def permanent() -> None:
    raise Failure.permanent("demo.final", "it stays so")


@task(retries=1, retry_delay_seconds=3600)
def later() -> int:
    if context().attempt == 1:
        raise Failure("demo.later", retry=0.05)
    return context().attempt


@task
def shaky(n: int) -> int:
    if context().attempt == 1:
        raise Failure("demo.shaky", "the first attempt fails")
    return n


@task(retries=2)
def count() -> int:
    global counted
    counted += 1
    if context().attempt < 3:
        raise Failure("demo.again", "not yet")
    return counted


@task(retries=3, retry_delay_seconds=300)
def delay_fixed() -> None: ...


@task(retries=4, retry_delay_seconds=[1, 10, 60])
def delay_listed() -> None: ...


@task(retries=5, retry_delay_seconds=exponential_backoff(10))
def delay_exponential() -> None: ...


@flow
def behave_child(n: int) -> int:
    return n + 1


@flow(log_prints=True)
def behave(what: What) -> Any:
    match what:
        case "success":
            return {"ok": True}
        case "failure":
            raise Failure("demo.broken", "it is broken")
        case "uncaught":
            return 1 // 0
        case "permanent":
            return permanent()
        case "retry-after":
            return later()
        case "map":
            return double.map([1, 2, 3, 4]).result()
        case "wait-any":
            futures = [nap.submit(400), nap.submit(0)]
            return futures.index(next(as_completed(futures)))
        case "child":
            return behave_child(20)
        case "kept":
            return shaky(double(21))
        case "print":
            print("one line")
            print("another", file=sys.stderr)
            return None
        case "fresh":
            return count()
