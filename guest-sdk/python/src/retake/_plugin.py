"""What a component exports.

It is imported while the component is built, and everything else with it: nothing can be imported later, because a
sandbox has no files.
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any

from componentize_py_types import Err

from . import _body, _host, _wire
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
            return _run("flow", FLOWS[flow], parameters)

        def run_task(self, task: str, input: str) -> str:
            return _run("task", TASKS[task], input)

    return Plugin


def _run(kind: str, it: Any, given: str) -> str:
    # The interpreter was started when the component was built: whatever is left to chance is drawn anew, from the host.
    random.seed()
    try:
        return _body.run(kind, it, given)
    except Failure as failure:
        raise Err(_wire.failure(failure)) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
