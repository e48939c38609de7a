"""What type hints mean: their JSON Schema, how a value is written as JSON and how it is read again.

A hint is looked at once, when the component is built. What cannot be stored is refused then, with what to write
instead.
"""

from __future__ import annotations

import enum
import inspect
from collections import abc
from collections.abc import Callable
from typing import Any

from ._plain import Misfit, Path, Text, Unstorable, in_order, key_of, number, plain, shown, written

# Beyond it a float does not hold each whole number.
_EXACT = 2**53


class Kind:
    """What a hint allows. This one allows anything."""

    #: The kinds of JSON values that it may be written as; None is any.
    json: frozenset[str] | None = None

    def schema(self) -> dict[str, Any]:
        """Returns its JSON Schema."""
        return {}

    def has(self, value: Any) -> bool:
        """Whether a value of Python is of this kind."""
        return True

    def could_be(self, value: Any) -> bool:
        """Whether it looks so at first sight: what is within it is not looked at."""
        return self.has(value)

    def is_exact(self, value: Any) -> bool:
        """Whether a JSON value is what this kind would write, down to whole numbers that are no fractions."""
        return False

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        """Returns a value as JSON knows it. One of another kind is written as what it is: the host refuses it."""
        return plain(value, at, inside)

    def read(self, value: Any, at: Path = ()) -> Any:
        """Returns what a JSON value was before it was written, or raises `Misfit`."""
        return value


class Plain(Kind):
    """A number, a text, true and false, or null."""

    _NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}

    def __init__(self, of: type) -> None:
        self.of = of
        self.json = frozenset({"integer", "number"} if of is float else {self._NAMES[of]})

    def schema(self) -> dict[str, Any]:
        return {"type": self._NAMES[self.of]}

    def has(self, value: Any) -> bool:
        return isinstance(value, self.of) and (self.of is bool or not isinstance(value, bool))

    def is_exact(self, value: Any) -> bool:
        return self.has(value)

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        if self.of is int and isinstance(value, float):
            return self._whole(value, at) if value.is_integer() else number(value, at)
        return plain(value, at, inside)

    def read(self, value: Any, at: Path = ()) -> Any:
        if self.has(value):
            return value
        if self.of is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                raise Misfit(at, "is larger than a `float` can be") from None
        if self.of is int and isinstance(value, float) and value.is_integer():
            if abs(value) <= _EXACT:
                return int(value)
            raise Misfit(at, f"is {value!r}, of which it is not known which whole number it is: write its digits")
        raise Misfit(at, f"is {shown(value)}, and not of type {self._NAMES[self.of]}")

    @staticmethod
    def _whole(value: float, at: Path) -> Any:
        return int(value) if abs(value) <= _EXACT else number(value, at)


class Texts(Kind):
    """What is written as text: a date, bytes."""

    json = frozenset({"string"})

    def __init__(self, of: type, how: Text) -> None:
        self.of = of
        self.how = how

    def schema(self) -> dict[str, Any]:
        return dict(self.how.schema)

    def has(self, value: Any) -> bool:
        # A `datetime` is a `date`, and would lose its time.
        return isinstance(value, self.of) and not (type(value).__name__ == "datetime" and self.of.__name__ == "date")

    def is_exact(self, value: Any) -> bool:
        return isinstance(value, str)

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        if self.of.__name__ == "Decimal" and isinstance(value, int) and not isinstance(value, bool):
            return str(number(value, at))
        return written(self.how, value, at) if self.has(value) else plain(value, at, inside)

    def read(self, value: Any, at: Path = ()) -> Any:
        if not isinstance(value, str):
            raise Misfit(at, f"is {shown(value)}, and no text for a `{self.of.__name__}`")
        try:
            return self.how.read(value)
        except (ValueError, KeyError, OverflowError, ArithmeticError) as error:
            raise Misfit(at, f"is {shown(value)}, which is no `{self.of.__name__}`: {error}") from None


class Values(Kind):
    """One of several values: of an enumeration, or literal ones."""

    def __init__(self, members: list[Any]) -> None:
        self.members = [(plain(it), it) for it in members]
        self.json = frozenset(json_type(it) for it, _ in self.members)

    def schema(self) -> dict[str, Any]:
        return {"enum": [it for it, _ in self.members]}

    def has(self, value: Any) -> bool:
        return any(type(it) is type(value) and it == value for _, it in self.members)

    def is_exact(self, value: Any) -> bool:
        return any(type(it) is type(value) and it == value for it, _ in self.members)

    def read(self, value: Any, at: Path = ()) -> Any:
        for it, member in self.members:
            if same(it, value):
                return member
        known = ", ".join(shown(it) for it, _ in self.members)
        raise Misfit(at, f"is {shown(value)}, which is none of {known}")


class Flags(Kind):
    """An enumeration whose members can be put together."""

    json = frozenset({"integer"})

    def __init__(self, of: type[enum.Flag]) -> None:
        self.of = of

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}

    def has(self, value: Any) -> bool:
        return isinstance(value, self.of)

    def is_exact(self, value: Any) -> bool:
        return type(value) is int

    def read(self, value: Any, at: Path = ()) -> Any:
        try:
            return self.of(Plain(int).read(value, at))
        except ValueError:
            raise Misfit(at, f"is {shown(value)}, which is no `{self.of.__name__}`") from None


class Lists(Kind):
    """Any number of one kind."""

    json = frozenset({"array"})

    def __init__(self, of: Any, make: Callable[[Any], Any], item: Kind, unique: bool) -> None:
        self.of = of
        self.make = make
        self.item = item
        self.unique = unique

    def schema(self) -> dict[str, Any]:
        of = self.item.schema()
        return {"type": "array"} | ({"items": of} if of else {}) | ({"uniqueItems": True} if self.unique else {})

    def has(self, value: Any) -> bool:
        # What is gone over once only is not gone over to look at it.
        return self.could_be(value) and (isinstance(value, abc.Iterator) or all(map(self.item.has, value)))

    def could_be(self, value: Any) -> bool:
        return isinstance(value, self.of) and not isinstance(value, (str, bytes, bytearray, memoryview, abc.Mapping))

    def is_exact(self, value: Any) -> bool:
        return isinstance(value, list) and all(map(self.item.is_exact, value))

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        lists = (abc.Collection, abc.Iterator)
        if not isinstance(value, lists) or isinstance(value, (str, bytes, bytearray, memoryview, abc.Mapping, type)):
            return plain(value, at, inside)
        inside = entered(value, at, inside)
        items = [self.item.write(it, (*at, n), inside) for n, it in enumerate(value)]
        return in_order(items) if isinstance(value, abc.Set) else items

    def read(self, value: Any, at: Path = ()) -> Any:
        if not isinstance(value, list):
            raise Misfit(at, f"is {shown(value)}, and no list")
        items = [self.item.read(it, (*at, n)) for n, it in enumerate(value)]
        try:
            return self.make(items)
        except TypeError as error:
            raise Misfit(at, f"is {shown(value)}: {error}") from None


class Tuples(Kind):
    """A fixed number, each of its own kind."""

    json = frozenset({"array"})

    def __init__(self, items: list[Kind]) -> None:
        self.items = items

    def schema(self) -> dict[str, Any]:
        items = [it.schema() for it in self.items]
        most = {"minItems": len(items), "maxItems": len(items)}
        return {"type": "array"} | ({"prefixItems": items} if items else {}) | most

    def has(self, value: Any) -> bool:
        return self.could_be(value) and all(kind.has(it) for kind, it in zip(self.items, value, strict=True))

    def could_be(self, value: Any) -> bool:
        return isinstance(value, (tuple, list)) and len(value) == len(self.items)

    def is_exact(self, value: Any) -> bool:
        if not isinstance(value, list) or len(value) != len(self.items):
            return False
        return all(kind.is_exact(it) for kind, it in zip(self.items, value, strict=True))

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        if not isinstance(value, (tuple, list)) or len(value) != len(self.items):
            return plain(value, at, inside)
        inside = entered(value, at, inside)
        return [kind.write(it, (*at, n), inside) for n, (kind, it) in enumerate(zip(self.items, value, strict=True))]

    def read(self, value: Any, at: Path = ()) -> Any:
        if not isinstance(value, list) or len(value) != len(self.items):
            raise Misfit(at, f"is {shown(value)}, and not a list of {len(self.items)}")
        return tuple(kind.read(it, (*at, n)) for n, (kind, it) in enumerate(zip(self.items, value, strict=True)))


class Maps(Kind):
    """A dict: its keys are written as text."""

    json = frozenset({"object"})

    def __init__(self, make: Callable[[dict[Any, Any]], Any], key: Kind | None, value: Kind) -> None:
        self.make = make
        self.key = key
        self.value = value

    def schema(self) -> dict[str, Any]:
        of = self.value.schema()
        keys = key_schema(self.key)
        found = {"type": "object"} | ({"propertyNames": keys} if keys else {})
        return found | ({"additionalProperties": of} if of else {})

    def has(self, value: Any) -> bool:
        if not isinstance(value, abc.Mapping):
            return False
        return all(self.key is None or self.key.has(it) for it in value) and all(map(self.value.has, value.values()))

    def could_be(self, value: Any) -> bool:
        return isinstance(value, abc.Mapping)

    def is_exact(self, value: Any) -> bool:
        return isinstance(value, dict) and all(map(self.value.is_exact, value.values()))

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        if not isinstance(value, abc.Mapping):
            return plain(value, at, inside)
        inside = entered(value, at, inside)
        found: dict[str, Any] = {}
        for name, it in value.items():
            key = self._written_key(name, at)
            if key in found:
                raise Unstorable((*at, key), "is there twice: two keys are written as the same text")
            found[key] = self.value.write(it, (*at, key), inside)
        return found

    def _written_key(self, name: Any, at: Path) -> str:
        if self.key is None or not self.key.has(name):
            return key_of(name, at)
        if isinstance(self.key, Plain) and self.key.of is not str:
            return repr(number(name, at)) if self.key.of is not bool else str(name).lower()
        key = self.key.write(name, at)
        return key if isinstance(key, str) else repr(key)

    def read(self, value: Any, at: Path = ()) -> Any:
        if not isinstance(value, dict):
            raise Misfit(at, f"is {shown(value)}, and no object")
        read = self._read_key
        return self.make({read(name, at): self.value.read(it, (*at, name)) for name, it in value.items()})

    def _read_key(self, name: str, at: Path) -> Any:
        key = self.key
        if key is None or isinstance(key, Texts):
            return name if key is None else key.read(name, (*at, name))
        if isinstance(key, Values):
            for it, member in key.members:
                if (it if isinstance(it, str) else repr(it)) == name:
                    return member
        if isinstance(key, Plain):
            try:
                of: Any = key.of
                return {"true": True, "false": False}[name] if of is bool else of(name)
            except (ValueError, KeyError):
                pass
        raise Misfit((*at, name), "is no key of the kind that is declared")


def key_schema(key: Kind | None) -> dict[str, Any] | None:
    """Returns the schema of keys, as text."""
    if isinstance(key, Plain):
        patterns = {int: r"^-?(0|[1-9][0-9]*)$", float: r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$", bool: "^(true|false)$"}
        return {"pattern": patterns[key.of]} if key.of in patterns else None
    if isinstance(key, Values):
        return {"enum": [it if isinstance(it, str) else repr(it) for it, _ in key.members]}
    if isinstance(key, Texts):
        return {name: it for name, it in key.schema().items() if name != "type"}
    return None


class Field:
    """A field of an object."""

    def __init__(self, kind: Kind, required: bool, default: Any, note: dict[str, Any]) -> None:
        self.kind = kind
        self.required = required
        self.default = default
        #: What is said of it for people, as a part of its schema.
        self.note = note


class Objects(Kind):
    """A class with named fields: a dataclass, a named tuple, a typed dict."""

    json = frozenset({"object"})

    def __init__(self, of: type, name: str, make: Callable[..., Any], closed: bool) -> None:
        self.of = of
        self.name = name
        self.make = make
        self.closed = closed
        self.fields: dict[str, Field] = {}
        #: Those that it is not made with, because each of its objects has them.
        self.fixed: frozenset[str] = frozenset()
        #: Where its schema is, when it holds itself.
        self.reference: str | None = None
        self.is_open = False

    def schema(self) -> dict[str, Any]:
        if self.reference is not None:
            return {"$ref": f"#/$defs/{self.reference}"}
        return self.definition()

    def definition(self) -> dict[str, Any]:
        """Returns the schema itself."""
        properties = {}
        for name, it in self.fields.items():
            of = it.kind.schema() | it.note
            if it.default is not inspect.Parameter.empty:
                of = of | {"default": it.kind.write(it.default, (name,))}
            properties[name] = of
        required = [name for name, it in self.fields.items() if it.required]
        found: dict[str, Any] = {"type": "object", "title": self.name, "properties": properties}
        found |= {"additionalProperties": False} if self.closed else {}
        return found | ({"required": required} if required else {})

    def has(self, value: Any) -> bool:
        if not self.could_be(value):
            return False
        given = {it: getattr(value, it) for it in self.fields} if self.closed else value
        return all(self.fields[it].kind.has(given[it]) for it in self._tags_first() if it in given)

    def could_be(self, value: Any) -> bool:
        if self.closed:
            return isinstance(value, self.of)
        return isinstance(value, dict) and all(it in value for it, field in self.fields.items() if field.required)

    def is_exact(self, value: Any) -> bool:
        if not isinstance(value, dict) or not self.is_tagged(value):
            return False
        known = all(it in self.fields for it in value) or not self.closed
        return known and all(field.kind.is_exact(value[it]) for it, field in self.fields.items() if it in value)

    def is_tagged(self, value: dict[str, Any]) -> bool:
        """Whether an object has what is required, and one of the values of each field that has but some."""
        for name, it in self.fields.items():
            if (it.required and name not in value) or (
                isinstance(it.kind, Values) and name in value and not any(same(of, value[name]) for of, _ in it.kind.members)
            ):
                return False
        return True

    def _tags_first(self) -> list[str]:
        # In a union they say at once which class it is. Without that, each level of what holds itself is looked at as each
        # of the classes, and so is each level below.
        return sorted(self.fields, key=lambda it: not isinstance(self.fields[it].kind, Values))

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        if not (type(value) is self.of or (isinstance(value, dict) and not self.closed)):
            return plain(value, at, inside)
        inside = entered(value, at, inside)
        if isinstance(value, dict):
            given = value
        else:
            given = {name: getattr(value, name) for name in self.fields}
        other = Kind()
        return {
            key_of(name, at): (self.fields[name].kind if name in self.fields else other).write(it, (*at, name), inside)
            for name, it in given.items()
        }

    def read(self, value: Any, at: Path = ()) -> Any:
        if not isinstance(value, dict):
            raise Misfit(at, f"is {shown(value)}, and no object")
        for name, it in self.fields.items():
            if it.required and name not in value:
                raise Misfit(at, f"has no `{name}`")
        strange = [name for name in value if name not in self.fields]
        if strange and self.closed:
            raise Misfit(at, f"has `{strange[0]}`, which is not known")
        read = {name: self.fields[name].kind.read(value[name], (*at, name)) for name in self._tags_first() if name in value}
        given = {name: read.get(name, it) for name, it in value.items() if name not in self.fixed}
        try:
            return self.make(**given) if self.closed else given
        except Exception as error:
            # What a class says of its own fields.
            raise Misfit(at, f"makes no `{self.name}`: {type(error).__name__}: {error}") from error


class Model(Kind):
    """A class that makes its own schema, as those of pydantic do."""

    json = frozenset({"object"})

    def __init__(self, of: Any, found: dict[str, Any]) -> None:
        self.of = of
        self.found = found

    def schema(self) -> dict[str, Any]:
        return dict(self.found)

    def has(self, value: Any) -> bool:
        return isinstance(value, self.of)

    def is_exact(self, value: Any) -> bool:
        # Models leave out what they do not know, and what they write has all of their fields.
        return isinstance(value, dict) and set(value) == set(self.found.get("properties", ()))

    def read(self, value: Any, at: Path = ()) -> Any:
        try:
            return (
                getattr(self.of, "model_validate", None)(value)
                if hasattr(self.of, "model_validate")
                else self.of.parse_obj(value)
            )
        except Exception as error:
            raise Misfit(at, f"makes no `{self.of.__name__}`: {error}") from error


class Either(Kind):
    """One of several kinds."""

    def __init__(self, kinds: list[Kind]) -> None:
        self.kinds = kinds
        # What says most goes first: each text could be a `str`, and each whole number a `float`.
        self.ordered = sorted(kinds, key=_vagueness)
        self._has_rivals = len({_group(it) for it in kinds}) < len(kinds)
        #: Fields with defaults that have to be there all the same, for nothing else tells objects apart: each with the
        #: name of the class that it is told from.
        self.tags: dict[Kind, dict[str, str]] = {}

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self._tagged(it, it.schema()) for it in self.kinds]}

    def _tagged(self, of: Kind, schema: dict[str, Any]) -> dict[str, Any]:
        names = list(self.tags.get(of, ()))
        return schema | {"required": list(dict.fromkeys([*schema.get("required", ()), *names]))} if names else schema

    def has(self, value: Any) -> bool:
        return any(it.has(value) for it in self.kinds)

    def could_be(self, value: Any) -> bool:
        return any(it.could_be(value) for it in self.kinds)

    def is_exact(self, value: Any) -> bool:
        return any(it.is_exact(value) for it in self.kinds)

    def write(self, value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
        return (self._kind_of(value) or Kind()).write(value, at, inside)

    def _kind_of(self, value: Any) -> Kind | None:
        found = [it for it in self.ordered if it.could_be(value)]
        # What is of a class is of those that it derives from, too.
        found = [it for it in found if getattr(it, "of", None) is type(value)] or found
        if len(found) > 1:
            found = [it for it in found if it.has(value)] or found
        if found:
            return found[0]
        # A whole `float` for an `int`, say, is of none of them.
        numbers = {it.of: it for it in self.kinds if isinstance(it, Plain)}
        if isinstance(value, int) and not isinstance(value, bool) and not {int, float} & set(numbers):
            return next((it for it in self.kinds if isinstance(it, Texts) and it.of.__name__ == "Decimal"), None)
        return numbers.get(int) if isinstance(value, float) else None

    def read(self, value: Any, at: Path = ()) -> Any:
        ordered = self.ordered
        if self._has_rivals:
            ordered = sorted(ordered, key=lambda it: (_group(it), not it.is_exact(value)))
        misfits: dict[Kind, Misfit] = {}
        for it in ordered:
            try:
                self._check_tags(it, value, at)
                return it.read(value, at)
            except Misfit as error:
                misfits[it] = error
        raise self._misfit(value, at, misfits)

    def _check_tags(self, of: Kind, value: Any, at: Path) -> None:
        if isinstance(value, dict):
            for name, other in self.tags.get(of, {}).items():
                if name not in value:
                    raise Misfit(at, f"has no `{name}`, which tells a `{getattr(of, 'name', '')}` from a `{other}`")

    def _misfit(self, value: Any, at: Path, misfits: dict[Kind, Misfit]) -> Misfit:
        if isinstance(value, dict):
            meant = [it for it in misfits if isinstance(it, Objects) and it.is_tagged(value)]
            untagged = [it for it in meant if not set(self.tags.get(it, ())) <= set(value)]
            if len(meant) == 1 or (meant and untagged == meant):
                return misfits[meant[0]]
        deepest = max(misfits.values(), key=lambda it: len(it.at))
        if len(deepest.at) > len(at):
            return deepest
        return Misfit(at, f"is {shown(value)}, which is of none of the kinds that are declared")


def _vagueness(of: Kind) -> tuple[int, ...]:
    """Returns how little a kind says: those of one union are read in this order, and as declared where it is the same."""
    match of:
        case Plain(of=kind):
            return ({type(None): 0, bool: 1, int: 3, float: 4, str: 9}[kind],)
        case Values():
            return (1,)
        case Flags():
            return (2,)
        case Objects(closed=True) | Model():
            return (5,)
        case Objects():
            return (6,)
        case Texts(of=kind):
            return (7 if kind.__name__.endswith("Path") else 6,)
        case Lists():
            return (8, *_vagueness(of.item))
        case Tuples():
            return (8, *max(map(_vagueness, of.items), default=()))
        case Maps():
            return (8, *_vagueness(of.value))
        case Either():
            return (10,)
    return (11,)


def _group(of: Kind) -> int:
    """Returns which kinds it is a rival of: among those, the one that a value is written as goes first."""
    first = _vagueness(of)[0]
    return 0 if first <= 4 else first


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are one in JSON: 1 is 1.0, and not true."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def json_type(value: Any) -> str:
    """Returns what JSON calls a value."""
    names = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def entered(value: Any, at: Path, inside: tuple[int, ...]) -> tuple[int, ...]:
    """Returns what is gone into, with a value that must not be among it."""
    if id(value) in inside:
        raise Unstorable(at, "holds itself, which JSON cannot say")
    if len(inside) > 200:
        raise Unstorable(at, "is nested more than 200 deep")
    return (*inside, id(value))
