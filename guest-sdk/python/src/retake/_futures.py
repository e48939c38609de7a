"""Calls that were asked for, and those that wait for others before they are.

A call needs its input. One whose arguments hold futures is asked for once these have ended: it is kept back, and
whenever the body waits for anything, all that can be asked for by then is. So chains run side by side.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from . import _host
from ._failure import Failure, raised
from ._kinds import Kind
from ._schema import Misfit, loaded

T = TypeVar("T")

# How long is waited before it is looked again whether something has ended, where nobody can be woken by that.
_FIRST_LOOK = 0.02
_LONGEST_LOOK = 1.0
# A sleep that is longer is durable, and is not cut into pieces.
_CUT_SLEEPS = 10.0

# What the body that runs keeps back, in the order in which it was asked for.
_kept_back: list[Future[Any]] = []


class Future(Generic[T]):
    """A task or a child flow that was asked for."""

    def __init__(self, name: str, kind: Kind, call: Any = None) -> None:
        self.name = name
        self._kind = kind
        self._call = call
        self._ended = False
        self._value: Any = None
        self._failure: BaseException | None = None
        self._upstream: list[Future[Any]] = []
        self._ask: Callable[[], Any] | None = None

    @classmethod
    def ended(cls, name: str, value: Any, failure: BaseException | None) -> Future[T]:
        """One that has ended, for plain Python."""
        future: Future[T] = cls(name, Kind())
        future._end(value, failure)
        return future

    @classmethod
    def after(cls, name: str, kind: Kind, upstream: list[Future[Any]], ask: Callable[[], Any]) -> Future[T]:
        """One that is asked for when others have ended."""
        future: Future[T] = cls(name, kind)
        future._upstream, future._ask = upstream, ask
        _kept_back.append(future)
        return future

    def _end(self, value: Any, failure: BaseException | None) -> None:
        self._ended, self._value, self._failure = True, value, failure

    def _fetch(self) -> None:
        """Waits for what the host makes of it."""
        try:
            self._end(self._kind.read(loaded(self._call.outcome())), None)
        except _host.err() as error:
            failure = raised(error.value)
            if failure.code == "host.not-in-a-task" and _host.running == "task":
                failure.message += f" (`{self.name.replace('-', '_')}.fn(…)` calls it as one)"
            self._end(None, failure)
        except Misfit as error:
            self._end(None, Failure.permanent("result.invalid", f"what `{self.name}` returned cannot be read again: {error}"))

    def _ask_now(self) -> None:
        failed = next((it._failure for it in self._upstream if it._failure is not None), None)
        if failed is not None:
            self._end(None, failed)
            return
        ask, self._ask = self._ask, None
        try:
            self._call = ask() if ask else None
        except Exception as error:  # The future holds it.
            self._end(None, error)

    def wait(self, timeout: float | None = None) -> None:
        """Waits until it has succeeded, or has failed for good; with a timeout, for at most so many seconds."""
        if timeout is not None:
            _look_until(lambda: self.done(), timeout)
            if not self.done():
                return
        while not self._ended:
            if _kept_back:
                _wait_for_any([self])
            else:
                self._fetch()

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> T:
        """Returns its result, once it is there; or raises what it failed with, or returns that. Raises `TimeoutError`
        when it is not there in time: the call goes on nevertheless."""
        self.wait(timeout)
        if not self._ended:
            raise TimeoutError(f"`{self.name}` has not ended after {timeout:g} s")
        if self._failure is None:
            return self._value
        if raise_on_failure:
            raise self._failure
        return self._failure  # type: ignore[return-value]

    def done(self) -> bool:
        """Whether it has ended. The one answer that may differ when an attempt goes on: see `as_completed`."""
        if not self._ended and _kept_back:
            _look()
        return self._ended or (self._call is not None and self._call.is_done())

    @property
    def state(self) -> State:
        """What has become of it by now."""
        if self.done():
            self.wait()
        return State(self)

    def cancel(self) -> None:
        """Stops it."""
        if self._ended:
            return
        if self._call is not None:
            self._call.cancel()
        else:
            _kept_back.remove(self)
            self._end(None, Failure.permanent("host.cancelled", "the call was cancelled"))

    def __repr__(self) -> str:
        return f"<Future of {self.name}>"


class State:
    """What has become of a call: Prefect's words for it."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future
        failure = future._failure
        code = getattr(failure, "code", "")
        names = {True: "Completed"} if future._ended and failure is None else {True: "Failed"} if future._ended else {}
        self.name = "Cancelled" if code == "host.cancelled" else names.get(True, "Pending" if future._call is None else "Running")
        self.type = self.name.upper()
        self.message = str(failure) if failure is not None else ""

    def result(self, raise_on_failure: bool = True) -> Any:
        """Returns what it came to, raises what it failed with, or returns that."""
        return self._future.result(raise_on_failure=raise_on_failure)

    def is_completed(self) -> bool:
        """Whether it has succeeded."""
        return self.name == "Completed"

    def is_failed(self) -> bool:
        """Whether it has failed."""
        return self.name == "Failed"

    def is_cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.name == "Cancelled"

    def is_crashed(self) -> bool:
        """Never: what is lost is made again by the host."""
        return False

    def is_running(self) -> bool:
        """Whether it was asked for and has not ended."""
        return self.name == "Running"

    def is_pending(self) -> bool:
        """Whether it waits for others."""
        return self.name == "Pending"

    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.name in ("Completed", "Failed", "Cancelled")

    def __repr__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"


class FutureList(list[Future[T]]):
    """Several of them."""

    def wait(self, timeout: float | None = None) -> None:
        """Waits for all; with a timeout, for at most so many seconds."""
        wait(self, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[T]:
        """Returns all results, in the order in which they were asked for."""
        if timeout is not None:
            _look_until(lambda: all(it.done() for it in self), timeout)
            late = [it for it in self if not it.done()]
            if late:
                raise TimeoutError(f"{len(late)} of {len(self)} calls have not ended after {timeout:g} s")
        return [it.result(raise_on_failure=raise_on_failure) for it in self]


class DoneAndNotDone(NamedTuple):
    """What `wait` returns."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Waits for all, or for at most so many seconds, and returns those that have ended and those that have not."""
    # In the order in which they were asked for: a set has none that stays.
    all_of_them = list(dict.fromkeys(futures))
    if timeout is not None:
        _look_until(lambda: all(it.done() for it in all_of_them), timeout)
    ended = [it for it in all_of_them if timeout is None or it.done()]
    for it in ended:
        it.wait()
    return DoneAndNotDone(set(ended), set(all_of_them) - set(ended))


def as_completed(futures: Iterable[Future[T]], timeout: float | None = None) -> Iterator[Future[T]]:
    """Returns each once it has ended. An attempt that goes on is told the same order again.

    With a timeout it raises `TimeoutError` when not all have ended so many seconds after the first was asked for.
    """
    left = list(futures)
    count, due = len(left), None if timeout is None else _now() + timeout
    while left:
        if due is not None:
            _look_until(lambda: any(it.done() for it in left), due - _now())
            ready = next((it for it in left if it.done()), None)
            if ready is None:
                raise TimeoutError(f"{len(left)} of {count} calls have not ended after {timeout:g} s")
            ready.wait()
        while not any(it._ended for it in left):
            _wait_for_any(left)
        first = next(it for it in left if it._ended)
        left.remove(first)
        yield first


@dataclass(frozen=True)
class unmapped(Generic[T]):  # noqa: N801 - Prefect's word.
    """What `map` gives to each call as it is."""

    value: T


def _ask_for_ready() -> None:
    """Asks for what waits for nothing any more: in the order of the body, so that each attempt does it alike."""
    asked = True
    while asked:
        asked = False
        for it in list(_kept_back):
            if all(up._ended for up in it._upstream):
                _kept_back.remove(it)
                it._ask_now()
                asked = True


def _wait_for_any(futures: list[Future[Any]]) -> None:
    """Waits until one of these, or of what is waited for by calls that are kept back, has ended."""
    _ask_for_ready()
    upstream = [up for it in _kept_back for up in it._upstream]
    known = list(dict.fromkeys([*futures, *upstream]))
    if any(it._ended for it in futures) or not known:
        return
    open_ones = [it for it in known if it._call is not None and not it._ended]
    if not open_ones:
        raise RuntimeError("what is waited for is never asked for: it is of another run")
    open_ones[_host.imported("tasks").wait_any([it._call for it in open_ones])]._fetch()
    _ask_for_ready()


def _look() -> None:
    """Asks for what can be asked for by now, without waiting."""
    seen = True
    while seen:
        seen = False
        for it in [up for kept in _kept_back for up in kept._upstream]:
            if not it._ended and it._call is not None and it._call.is_done():
                it._fetch()
                seen = True
        _ask_for_ready()


def _now() -> float:
    return _host.testing.now() if _host.testing is not None else time.time()


def _look_until(is_so: Callable[[], bool], timeout: float) -> None:
    """Looks again and again, for at most so many seconds."""
    due, pause = _now() + timeout, _FIRST_LOOK
    while not is_so() and (left := due - _now()) > 0:
        seconds = min(pause, left)
        if _host.is_asked():
            _host.imported("timers").sleep(max(1, round(seconds * 1000)))
        else:
            time.sleep(seconds)
        pause = min(2 * pause, _LONGEST_LOOK)


def sleep_beside(seconds: float, sleep: Callable[[float], None]) -> None:
    """Sleeps. What is kept back is asked for meanwhile, unless the sleep is a long one: that is durable as a whole."""
    if _kept_back and _host.running == "flow":
        _look()
        pause = _FIRST_LOOK
        while _kept_back and 0 < seconds <= _CUT_SLEEPS:
            pause = min(pause, seconds)
            sleep(pause)
            seconds, pause = seconds - pause, min(2 * pause, _LONGEST_LOOK)
            _look()
    if seconds > 0:
        sleep(seconds)


def begin() -> list[Future[Any]]:
    """Begins a body, which keeps back nothing yet. Returns what the one around it keeps back, in a test."""
    before = list(_kept_back)
    _kept_back.clear()
    return before


def finish() -> None:
    """Ends a body that has returned: all that it asked for is asked for."""
    _ask_for_ready()
    while _kept_back:
        _wait_for_any([])


def end(before: list[Future[Any]]) -> None:
    """Ends a body, whatever became of it."""
    _kept_back[:] = before


def futures_in(value: Any) -> list[Future[Any]]:
    """Returns the futures that a value holds."""
    found: list[Future[Any]] = []
    left, seen = [value], set()
    while left:
        it = left.pop()
        if isinstance(it, Future):
            found.append(it)
        elif id(it) not in seen:
            seen.add(id(it))
            if isinstance(it, dict):
                left += reversed(it.values())
            elif isinstance(it, (list, tuple, set, frozenset)):
                left += reversed(list(it))
            elif dataclasses.is_dataclass(it) and not isinstance(it, type):
                left += [getattr(it, of.name, None) for of in reversed(dataclasses.fields(it))]
    return found


def resolved(value: Any) -> Any:
    """Returns a value with the results of futures in their place."""
    if isinstance(value, Future):
        return value.result()
    if not futures_in(value):
        return value
    if isinstance(value, dict):
        return {name: resolved(it) for name, it in value.items()}
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(
            value, **{it.name: resolved(getattr(value, it.name)) for it in dataclasses.fields(value) if it.init}
        )
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(resolved, value))
    kind = type(value) if isinstance(value, (tuple, set, frozenset)) else list
    return kind(resolved(it) for it in value)
