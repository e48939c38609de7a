"""The other side: the host that a component runs in, the one of a test, or nobody."""

from __future__ import annotations

import importlib
from typing import Any

# "flow" or "task" while one runs in a component or in a test's host; None where the module is plain Python.
running: str | None = None
# What runs, by name: the innermost is the last.
names: list[str] = []
# What answers instead of a component's imports while a test's host runs something.
testing: Any = None


class _Err(Exception):
    """What a call of the host is refused with, where there is no component."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


class Unwound(BaseException):
    """What a test's host unwinds a body with. No body may take it for a failure."""


def is_hosts_own(error: BaseException) -> bool:
    """Whether an exception is not of the body, but of what runs it."""
    return isinstance(error, Unwound)


def err() -> type[Any]:
    """Returns the exception that a refused call raises."""
    return _Err if testing is not None else importlib.import_module("componentize_py_types").Err


def imported(name: str) -> Any:
    """Returns a module that `retake build` makes of the contract."""
    if testing is not None:
        return testing
    return importlib.import_module(f"wit_world.imports.{name}")


def is_asked() -> bool:
    """Whether a body runs in a host: its calls are the host's to make, or to refuse."""
    return running is not None
