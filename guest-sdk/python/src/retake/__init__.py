"""Flows and tasks in Python, for Retake.

    from retake import flow, task

    @task(retries=5, retry_delay_seconds=[1, 10, 60])
    def fetch(page: int) -> str: ...

    @flow(retries=2, retry_delay_seconds=300, log_prints=True)
    def count(pages: int) -> int:
        return sum(len(it) for it in fetch.map(range(1, pages + 1)).result())

``retake build`` makes a component of a module with such functions. Outside of one they are ordinary functions: a flow
can be called, and tested, like any other.
"""

from ._context import context, get_run_logger, secret, sleep, variable
from ._declaration import Flow, Task, flow, task
from ._failure import Failure
from ._futures import Future, FutureList, as_completed, unmapped, wait
from ._policy import exponential_backoff
from ._words import of_prefect as _of_prefect

__all__ = [
    "Failure",
    "Flow",
    "Future",
    "FutureList",
    "Task",
    "as_completed",
    "context",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "secret",
    "sleep",
    "task",
    "unmapped",
    "variable",
    "wait",
]


def __getattr__(name: str) -> object:
    """Says what to write instead of what Prefect has and Retake has not."""
    instead = _of_prefect(name)
    if instead is not None:
        raise ImportError(instead, name=__name__)
    raise AttributeError(f"module `{__name__}` has no `{name}`")
