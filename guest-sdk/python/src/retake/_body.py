"""One attempt of a flow or a task: from JSON to JSON."""

from __future__ import annotations

import json
from typing import Any

from . import _context, _host, _schema
from ._declaration import Task
from ._failure import Failure


def run(kind: str, it: Any, given: str) -> str:
    """Runs a body and returns what it came to; raises a `Failure`, whatever went wrong."""
    before, _host.running = _host.running, kind
    try:
        arguments = json.loads(given)
        arguments = {name: _schema.decode(it.hints.get(name, Any), value) for name, value in arguments.items()}
        result = _schema.encode(it.fn(**arguments))
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except Exception as error:
        failure = Failure.of(error)
        if failure is not error:
            failure.__cause__ = error
        if isinstance(it, Task):
            failure = it.advised(failure, _context.context().attempt)
        raise failure from failure.__cause__
    finally:
        _host.running = before
