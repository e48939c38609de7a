"""What a component exports.

It is imported while the component is built, and everything else with it: nothing can be imported later, because a
sandbox has no files.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections.abc import Callable
from typing import Any

from componentize_py_types import Err

from . import _context, _host, _schema, _wire
from ._declaration import FLOWS, TASKS
from ._failure import Failure

for _name in ("context", "log", "tasks", "timers", "types", "values"):
    _host.imported(_name)
# What the standard library imports only when it is used.
for _name in ("_strptime", "encodings.ascii", "encodings.idna", "encodings.latin_1"):
    importlib.import_module(_name)


def plugin(name: str, version: str, description: str) -> type:
    """Returns the class of a component with all flows and tasks that were declared."""

    class Plugin:
        def describe(self) -> Any:
            if not FLOWS:
                raise RuntimeError("there is no flow: put `@flow` before a function")
            flows = [_wire.flow_info(it) for it in FLOWS.values()]
            tasks = [_wire.task_info(it) for it in TASKS.values()]
            return _host.imported("types").ComponentInfo(name, version, description, flows, tasks)

        def run_flow(self, flow: str, parameters: str) -> str:
            return _run("flow", FLOWS[flow], parameters, lambda failure: failure)

        def run_task(self, task: str, input: str) -> str:
            it = TASKS[task]
            return _run("task", it, input, lambda failure: it.advised(failure, _context.context().attempt))

    return Plugin


def _run(kind: str, it: Any, given: str, advised: Callable[[Failure], Failure]) -> str:
    _host.running = kind
    # The interpreter was started when the component was built: whatever is left to chance is drawn anew, from the host.
    random.seed()
    try:
        arguments = json.loads(given)
        arguments = {name: _schema.decode(it.hints.get(name, Any), value) for name, value in arguments.items()}
        result = _schema.encode(it.fn(**arguments))
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except Exception as error:
        failure = Failure.of(error)
        if failure is not error:
            failure.__cause__ = error
        raise Err(_wire.failure(advised(failure))) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
