"""One attempt of a flow or a task: from JSON to JSON."""

from __future__ import annotations

from typing import Any

from . import _context, _futures, _host
from ._declaration import Task, refused
from ._failure import Failure
from ._schema import Misfit, Unstorable, dumped, loaded


def run(kind: str, it: Any, given: str) -> str:
    """Runs a body and returns what it came to; raises a `Failure`, whatever went wrong."""
    before, _host.running = _host.running, kind
    _host.names.append(it.name)
    waiting = _futures.begin()
    try:
        with _context.logging_to_host():
            result = _futures.resolved(it.call(_read(it, given)))
            written = _written(it, kind, result)
            _futures.finish()
        return written
    except BaseException as error:
        if _host.is_hosts_own(error):
            raise
        failure = Failure.of(error)
        if failure is not error:
            failure.__cause__ = error
        if isinstance(it, Task):
            failure = it.advised(failure, _context.context().attempt)
        raise failure from failure.__cause__
    finally:
        _futures.end(waiting)
        _host.names.pop()
        _host.running = before


def _read(it: Any, given: str) -> dict[str, Any]:
    try:
        return it.kinds.read(given)
    except Misfit as error:
        raise refused("input.invalid", it, "its input", error) from error.__cause__


def _written(it: Any, kind: str, result: Any) -> str:
    try:
        written = dumped(it.kinds.returns.write(result))
        if _host.testing is not None:
            # A real host has the schema to go by.
            it.kinds.returns.read(loaded(written))
        return written
    except (Unstorable, Misfit) as error:
        raise refused("result.invalid", it, "its result", error) from None
    except RecursionError:
        raise Failure.permanent("result.invalid", f"{it.what}: its result is nested too deeply to be stored") from None
