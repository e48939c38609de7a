"""The other side: the host that a component runs in, or nobody."""

from __future__ import annotations

import importlib
from types import ModuleType

# "flow" or "task" while one runs in a component; None where the module is plain Python.
running: str | None = None


def imported(name: str) -> ModuleType:
    """Returns a module that `retake build` makes of the contract."""
    return importlib.import_module(f"wit_world.imports.{name}")


def is_flow() -> bool:
    """Whether a flow's body runs in a component: its calls are the host's to make."""
    return running == "flow"
