"""What `prefect.futures` has."""

from ._futures import DoneAndNotDone, Future, FutureList, State, as_completed, wait

__all__ = ["DoneAndNotDone", "Future", "FutureList", "State", "as_completed", "wait"]
