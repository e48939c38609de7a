"""Type hints, JSON Schemas and JSON values."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import types
import typing
import uuid
from collections import abc
from typing import Any, Union, get_args, get_origin

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
# Written as text, and how it is read again.
_TEXTS: dict[type, tuple[str | None, Any, Any]] = {
    datetime.datetime: ("date-time", lambda it: it.isoformat(), datetime.datetime.fromisoformat),
    datetime.date: ("date", lambda it: it.isoformat(), datetime.date.fromisoformat),
    datetime.time: ("time", lambda it: it.isoformat(), datetime.time.fromisoformat),
    uuid.UUID: ("uuid", str, uuid.UUID),
    decimal.Decimal: (None, str, decimal.Decimal),
    pathlib.Path: (None, str, pathlib.Path),
    pathlib.PurePosixPath: (None, str, pathlib.PurePosixPath),
}
_LISTS = (list, tuple, set, frozenset, abc.Sequence, abc.Iterable, abc.Collection, abc.Set, abc.Iterator)
_MAPS = (dict, abc.Mapping, abc.MutableMapping)


def schema(hint: Any, definitions: dict[str, Any], inside: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Returns the schema of what a hint allows. Definitions of models that make their own are put into `definitions`."""
    if hint is Any or hint is inspect.Parameter.empty or hint is object or isinstance(hint, typing.TypeVar):
        return {}
    if hint is None:
        return {"type": "null"}
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        return schema(args[0], definitions, inside) | _described(args[1:])
    if isinstance(hint, type) and hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if isinstance(hint, type) and hint in _TEXTS:
        form = _TEXTS[hint][0]
        return {"type": "string"} | ({"format": form} if form else {})
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(it, definitions, inside) for it in args]}
    if origin is typing.Literal:
        return {"enum": [encode(it) for it in args]}
    if (origin or hint) in _LISTS:
        return _list(origin or hint, args, definitions, inside)
    if (origin or hint) in _MAPS:
        of = schema(args[1], definitions, inside) if len(args) == 2 else {}
        return {"type": "object"} | ({"additionalProperties": of} if of else {})
    if not isinstance(hint, type) or hint in inside:
        # What cannot be said, or holds itself, may be anything.
        return {}
    if issubclass(hint, enum.Enum):
        return {"enum": [encode(it) for it in hint]}
    if dataclasses.is_dataclass(hint):
        return _object(hint, definitions, inside)
    if typing.is_typeddict(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        properties = {name: schema(_bare(it), definitions, (*inside, hint)) for name, it in hints.items()}
        return {"type": "object", "properties": properties, "required": sorted(hint.__required_keys__)}
    return _model(hint, definitions)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in (typing.Required, typing.NotRequired) else hint


def _described(notes: tuple[Any, ...]) -> dict[str, Any]:
    texts = [it for it in notes if isinstance(it, str)]
    return {"description": texts[0]} if texts else {}


def _list(kind: Any, args: tuple[Any, ...], definitions: dict[str, Any], inside: tuple[Any, ...]) -> dict[str, Any]:
    if kind is tuple and args and args[-1] is not Ellipsis:
        items = [schema(it, definitions, inside) for it in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    of = schema(args[0], definitions, inside) if args else {}
    unique = {"uniqueItems": True} if kind in (set, frozenset, abc.Set) else {}
    return {"type": "array"} | ({"items": of} if of else {}) | unique


def _object(hint: Any, definitions: dict[str, Any], inside: tuple[Any, ...]) -> dict[str, Any]:
    hints = typing.get_type_hints(hint, include_extras=True)
    properties, required = {}, []
    for it in dataclasses.fields(hint):
        if not it.init:
            continue
        of = schema(hints[it.name], definitions, (*inside, hint))
        if it.default is not dataclasses.MISSING:
            of = _with_default(of, it.default)
        elif it.default_factory is dataclasses.MISSING:
            required.append(it.name)
        properties[it.name] = of
    found = {"type": "object", "title": hint.__name__, "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def _model(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """A class that makes its own schema, as those of pydantic do."""
    make = getattr(hint, "model_json_schema", None) or getattr(hint, "schema", None)
    if make is None:
        return {}
    found = dict(make())
    for name in ("$defs", "definitions"):
        if name in found:
            definitions.setdefault(name, {}).update(found.pop(name))
    return found


def _with_default(of: dict[str, Any], default: Any) -> dict[str, Any]:
    try:
        return of | {"default": encode(default)}
    except TypeError:
        return of


def parameters(signature: inspect.Signature, hints: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of an object with the parameters of a function."""
    definitions: dict[str, Any] = {}
    properties, required = {}, []
    for name, it in signature.parameters.items():
        of = schema(hints.get(name, Any), definitions)
        if it.default is inspect.Parameter.empty:
            required.append(name)
        else:
            of = _with_default(of, it.default)
        properties[name] = of
    found = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {}) | definitions


def returned(hint: Any) -> dict[str, Any] | None:
    """Returns the schema of what a function returns, if it says."""
    definitions: dict[str, Any] = {}
    found = schema(hint, definitions)
    return found | definitions if found else None


def encode(value: Any) -> Any:
    """Returns a value as JSON knows it."""
    if value is None or isinstance(value, (bool, str, int, float)):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, enum.Enum):
        return encode(value.value)
    for kind, (_, write, _) in _TEXTS.items():
        if isinstance(value, kind):
            return write(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {it.name: encode(getattr(value, it.name)) for it in dataclasses.fields(value)}
    if isinstance(value, abc.Mapping):
        wrong = [it for it in value if not isinstance(it, str)]
        if wrong:
            raise TypeError(f"keys are text in JSON, not {wrong[0]!r}")
        return {name: encode(it) for name, it in value.items()}
    if isinstance(value, (set, frozenset)):
        # A set has no order, and a call is known by what it is given.
        return sorted((encode(it) for it in value), key=repr)
    if isinstance(value, (abc.Sequence, abc.Iterator, range)) and not isinstance(value, (bytes, bytearray)):
        return [encode(it) for it in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "dict") and hasattr(value, "json"):
        return encode(value.dict())
    raise TypeError(f"{type(value).__name__} has no place in JSON: return a dict, a list or a dataclass")


def decode(hint: Any, value: Any) -> Any:
    """Returns a JSON value as its hint asks for; what does not fit stays as it is."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        return decode(args[0], value)
    if origin in (Union, types.UnionType):
        return _either(args, value)
    kind = origin or hint
    if isinstance(value, list) and kind in _LISTS:
        return _decoded_list(kind, args, value)
    if isinstance(value, dict) and kind in _MAPS and len(args) == 2:
        return {name: decode(args[1], it) for name, it in value.items()}
    if not isinstance(hint, type):
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in _TEXTS and isinstance(value, str):
        return _TEXTS[hint][2](value)
    if issubclass(hint, enum.Enum):
        return next((it for it in hint if encode(it) == value), value)
    if isinstance(value, dict) and dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        known = {it.name for it in dataclasses.fields(hint) if it.init}
        return hint(**{name: decode(hints[name], it) for name, it in value.items() if name in known})
    if isinstance(value, dict) and typing.is_typeddict(hint):
        hints = typing.get_type_hints(hint)
        return {name: decode(hints.get(name, Any), it) for name, it in value.items()}
    if isinstance(value, dict) and hasattr(hint, "model_validate"):
        return hint.model_validate(value)
    if isinstance(value, dict) and hasattr(hint, "parse_obj"):
        return hint.parse_obj(value)
    return value


def _either(args: tuple[Any, ...], value: Any) -> Any:
    """The first of several that makes something of a value, or says that it is its own already."""
    if value is None and type(None) in args:
        return None
    for it in args:
        if isinstance(it, type) and it in _PLAIN:
            if type(value) is it:
                return value
            continue
        try:
            found = decode(it, value)
        except (TypeError, ValueError, KeyError):
            continue
        if found is not value:
            return found
    return value


def _decoded_list(kind: Any, args: tuple[Any, ...], value: list[Any]) -> Any:
    if kind is tuple and args and args[-1] is not Ellipsis:
        return tuple(decode(it, item) for it, item in zip(args, value, strict=False))
    items = [decode(args[0], it) for it in value] if args else value
    if kind in (set, abc.Set):
        return set(items)
    if kind in (frozenset, tuple):
        return kind(items)
    return items
