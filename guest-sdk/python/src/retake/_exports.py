"""The exports of a component."""

from __future__ import annotations

import random
import sys
from typing import Any

from componentize_py_types import Err

from . import _body, _host, _wire
from ._declaration import FLOWS, TASKS
from ._failure import Failure
from ._source import Refused

for _name in ("context", "log", "tasks", "timers", "types", "values"):
    _host.imported(_name)


class Plugin:
    """All flows and tasks that were declared."""

    name = version = description = ""

    @classmethod
    def of(cls, name: str, version: str, description: str) -> type:
        """Returns the class of a component. What cannot be declared is refused now, and not when it is uploaded."""
        if not FLOWS:
            raise Refused("there is no flow: put `@flow` before a function")
        made = type("Plugin", (cls,), {"name": name, "version": version, "description": description})
        made().describe()
        return made

    def describe(self) -> Any:
        flows = [_wire.flow_info(it) for it in FLOWS.values()]
        tasks = [_wire.task_info(it) for it in TASKS.values()]
        return _host.imported("types").ComponentInfo(self.name, self.version, self.description, flows, tasks)

    def run_flow(self, flow: str, parameters: str) -> str:
        return _run("flow", FLOWS[flow], parameters)

    def run_task(self, task: str, input: str) -> str:
        return _run("task", TASKS[task], input)


def _run(kind: str, it: Any, given: str) -> str:
    # The interpreter was started when the component was built: whatever is left to chance is drawn anew, from the host.
    random.seed()
    try:
        return _body.run(kind, it, given)
    except Failure as failure:
        raise Err(_wire.failure(failure)) from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
