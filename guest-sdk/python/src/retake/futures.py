"""What `prefect.futures` has."""

from ._futures import DoneAndNotDone, Future, FutureList, as_completed, wait

__all__ = ["DoneAndNotDone", "Future", "FutureList", "as_completed", "wait"]
