"""Calls that were asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from . import _host, _schema
from ._failure import Failure, raised

T = TypeVar("T")


class Future(Generic[T]):
    """A task or a child flow that was asked for."""

    def __init__(self, name: str, hint: Any, call: Any) -> None:
        self._name = name
        self._hint = hint
        self._call = call
        self._ended = False
        self._value: Any = None
        self._failure: Failure | None = None

    @classmethod
    def ended(cls, name: str, value: Any, failure: Exception | None) -> Future[T]:
        """One that has ended, for plain Python."""
        future: Future[T] = cls(name, Any, None)
        future._ended, future._value, future._failure = True, value, failure  # type: ignore[assignment]
        return future

    def wait(self) -> None:
        """Waits until it has succeeded, or has failed for good."""
        if self._ended:
            return
        try:
            self._value = _schema.decode(self._hint, json.loads(self._call.outcome()))
        except _host.err() as error:
            self._failure = raised(error.value)
        self._ended = True

    def result(self, raise_on_failure: bool = True) -> T:
        """Returns its result, once it is there; or raises what it failed with, or returns that."""
        self.wait()
        if self._failure is None:
            return self._value
        if raise_on_failure:
            raise self._failure
        return self._failure  # type: ignore[return-value]

    def done(self) -> bool:
        """Whether it has ended. The one answer that may differ when an attempt goes on: see `as_completed`."""
        return self._ended or self._call.is_done()

    def cancel(self) -> None:
        """Stops it."""
        if not self._ended:
            self._call.cancel()

    def __repr__(self) -> str:
        return f"<Future of {self._name}>"


class FutureList(list[Future[T]]):
    """Several of them."""

    def wait(self) -> None:
        """Waits for all."""
        for it in self:
            it.wait()

    def result(self, raise_on_failure: bool = True) -> list[T]:
        """Returns all results, in the order in which they were asked for."""
        return [it.result(raise_on_failure) for it in self]


class DoneAndNotDone(NamedTuple):
    """What `wait` returns."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(futures: Iterable[Future[Any]]) -> DoneAndNotDone:
    """Waits for all, and returns them."""
    all_of_them = set(futures)
    for it in all_of_them:
        it.wait()
    return DoneAndNotDone(all_of_them, set())


def as_completed(futures: Iterable[Future[T]]) -> Iterator[Future[T]]:
    """Returns each once it has ended. An attempt that goes on is told the same order again."""
    left = list(futures)
    while left:
        open_ones = [it for it in left if not it._ended]
        if len(open_ones) < len(left):
            first = next(it for it in left if it._ended)
        else:
            first = open_ones[_host.imported("tasks").wait_any([it._call for it in open_ones])]
            first.wait()
        left.remove(first)
        yield first


@dataclass(frozen=True)
class unmapped(Generic[T]):  # noqa: N801 - Prefect's word.
    """What `map` gives to each call as it is."""

    value: T


def resolved(value: Any) -> Any:
    """Returns a value with the results of futures in their place."""
    if isinstance(value, Future):
        return value.result()
    if isinstance(value, (list, tuple)) and any(isinstance(it, Future) for it in value):
        return [resolved(it) for it in value]
    if isinstance(value, dict) and any(isinstance(it, Future) for it in value.values()):
        return {name: resolved(it) for name, it in value.items()}
    return value
