"""What a function takes and returns: schemas, and values that go there and back."""

from __future__ import annotations

import inspect
import json
import math
import typing
from collections.abc import Callable
from typing import Any

from ._hints import Reader, Undeclarable, description
from ._kinds import Either, Kind, Plain
from ._plain import Misfit, Unstorable, of_place, plain, shown


class Signature:
    """The kinds of a function's parameters, and of what it returns."""

    def __init__(self, what: str, fn: Callable[..., Any], parameters: list[inspect.Parameter], own: dict[str, Any]) -> None:
        """Reads the hints of `fn`, which is called `what` in messages. Raises `Undeclarable`. `own` are hints that are known."""
        hints = _hints(what, fn) | own
        taking, self._returning = Reader(), Reader()
        self.kinds: dict[str, Kind] = {}
        self._parameters = {it.name: it for it in parameters}
        self._notes = {name: description(hint) for name, hint in hints.items()}
        for it in parameters:
            kind = _read(taking, hints.get(it.name, Any), f"{what}: its parameter `{it.name}`")
            if it.default is None and not kind.has(None):
                # As type checkers once took it: what is None by default may be None.
                kind = Either([kind, Plain(type(None))])
            self.kinds[it.name] = kind
        self.returns = _read(self._returning, hints.get("return", Any), f"{what}: what it returns")
        self.schema = self._schema(what, taking)

    def _schema(self, what: str, reader: Reader) -> dict[str, Any]:
        properties, required = {}, []
        for name, kind in self.kinds.items():
            default = self._parameters[name].default
            of = kind.schema() | self._notes.get(name, {})
            if default is inspect.Parameter.empty:
                required.append(name)
            else:
                of = of | {"default": _default(kind, default, f"{what}: the default of its parameter `{name}`")}
            properties[name] = of
        found = {"type": "object", "properties": properties, "additionalProperties": False}
        return found | ({"required": required} if required else {}) | reader.all_definitions()

    @property
    def returned(self) -> dict[str, Any] | None:
        """The schema of what it returns, if it says."""
        found = self.returns.schema()
        return found | self._returning.all_definitions() if found else None

    def write(self, arguments: dict[str, Any]) -> str:
        """Returns arguments as JSON. Raises `Unstorable`."""
        other = Kind()
        return dumped({name: self.kinds.get(name, other).write(it, (name,)) for name, it in arguments.items()})

    def read(self, given: str) -> dict[str, Any]:
        """Returns arguments as they are declared. Raises `Misfit`."""
        other = Kind()
        return {name: self.kinds.get(name, other).read(it, (name,)) for name, it in loaded(given).items()}


def _read(reader: Reader, hint: Any, where: str) -> Kind:
    try:
        return reader.kind(hint)
    except Undeclarable as error:
        raise Undeclarable(f"{where} is {error}") from None


def _default(kind: Kind, default: Any, where: str) -> Any:
    """Returns a default as JSON has it. One that is not what its hint says would be refused whenever it is used."""
    try:
        written = kind.write(default)
        kind.read(written)
    except (Unstorable, Misfit) as error:
        raise Undeclarable(f"{where} {of_place(error.at)}{error.what}") from None
    return written


def _hints(what: str, fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        message = f"{what}: `{error.name}` in its hints is not found: import it at the top, and not for type checkers alone"
        raise Undeclarable(message) from None


def dumped(value: Any) -> str:
    """Returns JSON text of what is JSON already."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def loaded(text: str) -> Any:
    """Reads JSON text. A number that no `float` can be is refused, and not Infinity."""

    def number(text: str) -> float:
        found = float(text)
        if not math.isfinite(found):
            raise Misfit((), f"has {shown(text)[1:-1]}, which is larger than a `float` can be")
        return found

    try:
        return json.loads(text, parse_float=number)
    except ValueError as error:
        if isinstance(error, Misfit):
            raise
        # The host has made sure that it is JSON; what Python does not take are numbers that are too long.
        raise Misfit((), f"cannot be read: {error}") from None


__all__ = ["Kind", "Misfit", "Signature", "Undeclarable", "Unstorable", "dumped", "loaded", "plain"]
