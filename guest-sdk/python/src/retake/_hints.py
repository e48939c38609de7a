"""From type hints to kinds."""

from __future__ import annotations

import collections
import dataclasses
import enum
import inspect
import numbers
import os
import types
import typing
from collections import abc
from typing import Any, Union, get_args, get_origin

from ._kinds import Either, Field, Flags, Kind, Lists, Maps, Model, Objects, Plain, Texts, Tuples, Values, same
from ._plain import TEXTS, Misfit, Unstorable, of_place

_PLAIN = (str, int, float, bool, type(None))
_LISTS: dict[Any, Any] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.deque: collections.deque,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Collection: list,
    abc.Iterable: list,
    abc.Set: set,
    abc.MutableSet: set,
    abc.KeysView: list,
    abc.ValuesView: list,
    abc.Iterator: iter,
    abc.Generator: iter,
}
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_MAPS: dict[Any, Any] = {
    dict: dict,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
    collections.OrderedDict: collections.OrderedDict,
    collections.Counter: collections.Counter,
    collections.defaultdict: None,
    types.MappingProxyType: types.MappingProxyType,
}
_KEYS = "text, whole numbers, dates, UUIDs or an enumeration"
_A_CLASS = "a dataclass with what is to be kept, a TypedDict, a dict or a list"
_INSTEAD = {
    "complex": "two numbers: `tuple[float, float]`",
    "DataFrame": "`list[dict[str, Any]]`, with `frame.to_dict('records')`",
    "Series": "`list[float]`, with `series.tolist()`",
    "ndarray": "`list[float]`, with `array.tolist()`",
    "range": "`list[int]`",
    "slice": "two whole numbers",
    "memoryview": "`bytes`",
    "Pattern": "`str`, and compile it where it is used",
    "Logger": "nothing: `get_run_logger()` is there in each task",
}


class Undeclarable(TypeError):
    """A hint that nothing can be stored under."""


class Reader:
    """Reads the hints of one function. Classes that hold themselves are put into `definitions`."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._objects: dict[Any, Objects] = {}
        self._aliases: list[Any] = []
        self._referred: list[Objects] = []
        #: Unions of which a class is not read to its end yet.
        self._unsettled: list[tuple[Any, Either]] = []

    def kind(self, hint: Any) -> Kind:
        """Returns what a hint means."""
        if hint in (Any, object, inspect.Parameter.empty, typing.NoReturn, typing.Never, typing.Self):
            return Kind()
        if hint is None or (isinstance(hint, type) and hint in _PLAIN):
            return Plain(type(None) if hint is None else hint)
        origin, args = get_origin(hint), get_args(hint)
        if origin in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final) or _is_read_only(origin):
            return self.kind(args[0])
        if origin in (Union, types.UnionType):
            return self._either(hint, args)
        if origin is typing.Literal:
            return self._values(hint, list(args))
        if hasattr(hint, "__supertype__"):
            return self.kind(hint.__supertype__)
        if isinstance(hint, typing.TypeVar):
            return self._either(hint, hint.__constraints__) if hint.__constraints__ else self.kind(hint.__bound__ or Any)
        if isinstance(hint, typing.ForwardRef) or isinstance(hint, str):
            raise Undeclarable(
                f"`{_name(hint)}`, whose class is not found: import it at the top, and not for type checkers alone"
            )
        alias = origin if hasattr(origin, "__value__") else hint
        if hasattr(alias, "__value__"):
            return self._alias(hint, alias, args)
        return self._class(hint, origin or hint, args)

    def _alias(self, hint: Any, alias: Any, args: tuple[Any, ...]) -> Kind:
        if hint in self._aliases:
            return Kind()  # One that holds itself may be anything from there on.
        self._aliases.append(hint)
        try:
            return self.kind(_filled(alias.__value__, dict(zip(alias.__type_params__, args, strict=False))))
        finally:
            self._aliases.pop()

    def _class(self, hint: Any, of: Any, args: tuple[Any, ...]) -> Kind:
        if of is os.PathLike:
            of = next(it for it in TEXTS if it.__name__ == "Path")
        if of is typing.LiteralString:
            return Plain(str)
        if of in (numbers.Number, numbers.Real, numbers.Complex, numbers.Rational):
            return Plain(float)
        if of is numbers.Integral:
            return Plain(int)
        if isinstance(of, type) and of in TEXTS:
            return Texts(of, TEXTS[of])
        if of in _LISTS:
            return self._list(of, args)
        if of in _MAPS:
            return self._map(hint, of, args)
        if not isinstance(of, type) or of is type:
            raise _refused(hint)
        if issubclass(of, enum.Flag):
            return Flags(of)
        if issubclass(of, enum.Enum):
            return self._values(hint, list(of))
        if dataclasses.is_dataclass(of) or typing.is_typeddict(of) or (issubclass(of, tuple) and hasattr(of, "_fields")):
            return self._object(hint, of, args)
        return self._other(hint, of, args)

    def _other(self, hint: Any, of: type, args: tuple[Any, ...]) -> Kind:
        from ._futures import Future, FutureList

        if issubclass(of, FutureList):
            return self._list(list, args)
        if issubclass(of, Future):
            return self.kind(args[0]) if args else Kind()
        model = self._model(of)
        if model is not None:
            return model
        if (
            issubclass(of, (str, int, float, list, dict, set))
            and of.__init__ is next(it for it in (str, int, float, list, dict, set) if issubclass(of, it)).__init__
        ):
            raise Undeclarable(
                f"`{of.__name__}`, a class of its own that would arrive as a plain one: write what it derives from"
            )
        raise _refused(hint)

    def _list(self, of: Any, args: tuple[Any, ...]) -> Kind:
        if of is tuple and args and args[-1] is not Ellipsis:
            return Tuples([] if args == ((),) else [self.kind(it) for it in args])
        item = self.kind(args[0]) if args else Kind()
        if of in _SETS and isinstance(item, (Lists, Maps)) and not isinstance(item, Tuples):
            if isinstance(item, Maps) or item.make in (list, set):
                raise Undeclarable("a set of what cannot be in one (a list, a dict): write `list[…]`")
        return Lists(of, _LISTS[of], item, of in _SETS)

    def _map(self, hint: Any, of: Any, args: tuple[Any, ...]) -> Kind:
        if of is collections.Counter:
            args = (*args[:1], int) if args else ()
        if not args:
            return Maps(_MAPS[of] or dict, None, Kind())
        key, value = self._key(hint, args[0]), self.kind(args[1])
        make = _MAPS[of]
        if make is None:
            factory = get_origin(args[1]) or args[1]
            make = lambda it: collections.defaultdict(factory if callable(factory) else None, it)  # noqa: E731
        return Maps(make, key, value)

    def _key(self, hint: Any, of: Any) -> Kind | None:
        key = self.kind(of)
        if type(key) is Kind:
            return None
        if isinstance(key, Plain) and key.of is not type(None):
            return key
        if isinstance(key, Texts) and key.of not in (bytes, bytearray):
            return key
        if isinstance(key, Values) and all(type(it) in (str, int) for it, _ in key.members):
            if len({str(it) for it, _ in key.members}) == len(key.members):
                return key
        raise Undeclarable(f"`{_name(hint)}`, whose keys cannot be told from each other as text: keys are {_KEYS}, of one kind")

    def _values(self, hint: Any, members: list[Any]) -> Kind:
        try:
            found = Values(members)
        except Unstorable as error:
            raise Undeclarable(
                f"`{_name(hint)}`, one of whose values {error.what.split(':')[0]}: give it texts or numbers"
            ) from None
        _check_members(hint, [found])
        return found

    def _either(self, hint: Any, args: tuple[Any, ...]) -> Kind:
        kinds: list[Kind] = []
        for it in map(self.kind, args):
            # An alias may stand for a union of its own.
            kinds += [one for one in (it.kinds if isinstance(it, Either) else [it]) if one not in kinds]
        _check_texts(hint, kinds)
        _check_members(hint, [it for it in kinds if isinstance(it, Values)])
        for flags in kinds:
            if isinstance(flags, Flags):
                _check_flags(hint, flags, kinds)
        found = Either(kinds)
        if any(isinstance(it, Objects) and it.is_open for it in kinds):
            self._unsettled.append((hint, found))
        else:
            _tell_apart(hint, found)
        return found

    def _settle(self) -> None:
        left, self._unsettled = self._unsettled, []
        for hint, it in left:
            if any(isinstance(of, Objects) and of.is_open for of in it.kinds):
                self._unsettled.append((hint, it))
            else:
                _tell_apart(hint, it)

    def _object(self, hint: Any, of: type, args: tuple[Any, ...]) -> Kind:
        if hint in self._objects:
            found = self._objects[hint]
            if found.is_open and found.reference is None:
                names = [it.reference for it in self._referred]
                name = of.__name__ if of.__name__ not in names else f"{of.__name__}{len(names)}"
                found.reference = name
                self._referred.append(found)
            return found
        closed = not typing.is_typeddict(of)
        found = self._objects[hint] = Objects(of, of.__name__, of, closed)
        found.fixed = frozenset(_fixed(of))
        found.is_open = True
        hints = _hints_of(of)
        known = dict(zip(getattr(of, "__parameters__", ()), args, strict=False))
        for name, required, default in _fields(of):
            try:
                hint_of = _filled(hints.get(name, Any), known)
                kind = self.kind(hint_of)
                if default is None and not kind.has(None):
                    kind = Either([kind, Plain(type(None))])
                if default is not inspect.Parameter.empty:
                    kind.read(kind.write(default))
                found.fields[name] = Field(kind, required, default, description(hint_of))
            except (Unstorable, Misfit) as error:
                raise Undeclarable(f"`{of.__name__}`, whose default of `{name}` {of_place(error.at)}{error.what}") from None
            except Undeclarable as error:
                raise Undeclarable(f"{error} (it is `{of.__name__}.{name}`)") from None
        found.is_open = False
        self._settle()
        return found

    def _model(self, of: Any) -> Kind | None:
        if hasattr(of, "model_json_schema"):
            found = dict(of.model_json_schema())
        elif hasattr(of, "schema") and hasattr(of, "parse_obj"):
            found = dict(of.schema())
        else:
            return None
        for name in ("$defs", "definitions"):
            if name in found:
                self.definitions.setdefault(name, {}).update(found.pop(name))
        return Model(of, found)

    def all_definitions(self) -> dict[str, Any]:
        """Returns the definitions that schemas refer to."""
        own = {str(it.reference): it.definition() for it in self._referred}
        return self.definitions | ({"$defs": self.definitions.get("$defs", {}) | own} if own else {})


def _fields(of: Any) -> list[tuple[str, bool, Any]]:
    """Returns the fields of a class: their names, whether they are required, and their defaults."""
    empty = inspect.Parameter.empty
    if typing.is_typeddict(of):
        return [(it, it in of.__required_keys__, empty) for it in _hints_of(of)]
    if not dataclasses.is_dataclass(of):
        defaults = of._field_defaults
        return [(it, it not in defaults, defaults.get(it, empty)) for it in of._fields]
    found = []
    for it in of.__dataclass_fields__.values():
        if it._field_type is dataclasses._FIELD_INITVAR:  # type: ignore[attr-defined]
            raise Undeclarable(f"`{of.__name__}`, whose `{it.name}` is an `InitVar`, which is not kept: make it a field")
    for it in dataclasses.fields(of):
        if it.init:
            is_plain = it.default is not dataclasses.MISSING
            has = is_plain or it.default_factory is not dataclasses.MISSING
            default = it.default if is_plain else it.default_factory() if it.default_factory in (list, dict) else empty
            found.append((it.name, not has, default))
    return found + [(name, False, default) for name, default in _fixed(of).items()]


def _fixed(of: Any) -> dict[str, Any]:
    """Returns the literal fields that a dataclass is not given (`init=False`): they are kept, to tell it from others."""
    if not dataclasses.is_dataclass(of):
        return {}
    fixed = [it for it in dataclasses.fields(of) if not it.init and it.default is not dataclasses.MISSING]
    return {it.name: it.default for it in fixed if get_origin(_hints_of(of).get(it.name)) is typing.Literal}


def _hints_of(of: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(of, include_extras=True)
    except NameError as error:
        raise Undeclarable(
            f"`{of.__name__}`, in which `{error.name}` is not found: import it at the top, and not for type checkers alone"
        ) from None


def _filled(hint: Any, known: dict[Any, Any]) -> Any:
    """Puts what a generic class is made for in the place of its type variables."""
    if not known:
        return hint
    if isinstance(hint, typing.TypeVar):
        return known.get(hint, hint)
    names = getattr(hint, "__parameters__", ())
    if not names or isinstance(hint, type):
        return hint
    return hint[tuple(known.get(it, it) for it in names)]


def _check_texts(hint: Any, kinds: list[Kind]) -> None:
    texts = [it for it in kinds if it.json and "string" in it.json and not isinstance(it, Values)]
    of = [it.of for it in texts if isinstance(it, Texts)]
    if len(texts) > 1 and (bytes in of or bytearray in of):
        raise Undeclarable(f"`{_name(hint)}`: bytes are stored as text, and cannot be told from it: write one of them")
    names = [it.__name__ for it in of]
    if "Fraction" in names and "Decimal" in names:
        raise Undeclarable(
            f"`{_name(hint)}`: a `Fraction` is stored as text, and cannot be told from a `Decimal`: write one of them"
        )


def _check_members(hint: Any, kinds: list[Values]) -> None:
    """Refuses members of two enumerations that are one in JSON: they would arrive as members of the other one."""
    members = [(it, member) for kind in kinds for it, member in kind.members if isinstance(member, enum.Enum)]
    for n, (it, member) in enumerate(members):
        for other_it, other in members[:n]:
            if type(other) is not type(member) and same(it, other_it):
                names = [f"`{type(of).__name__}.{of.name}`" for of in (other, member)]
                raise Undeclarable(
                    f"`{_name(hint)}`: {' and '.join(names)} are both stored as {it!r}: give them other values, or write one "
                    "of the two"
                )


def _check_flags(hint: Any, flags: Flags, kinds: list[Kind]) -> None:
    """Refuses what else is stored as a whole number that could be flags."""
    for it in kinds:
        if isinstance(it, Flags) and it is not flags:
            other = f"a `{it.of.__name__}`"
        elif isinstance(it, Plain) and it.of is int:
            other = "an `int`"
        elif isinstance(it, Values) and any(type(of) is int and _reads(flags, of) for of, _ in it.members):
            of = next(member for of, member in it.members if type(of) is int and _reads(flags, of))
            other = f"a `{type(of).__name__}`" if isinstance(of, enum.Enum) else f"{of!r}"
        else:
            continue
        name = flags.of.__name__
        raise Undeclarable(f"`{_name(hint)}`: a `{name}` is stored as a whole number, and cannot be told from {other}")


def _reads(kind: Kind, value: Any) -> bool:
    try:
        kind.read(value)
    except Misfit:
        return False
    return True


def _tell_apart(hint: Any, union: Either) -> None:
    """Refuses classes that look alike. Where but a field with a default tells them apart, it has to be there."""
    objects = [it for it in union.kinds if isinstance(it, Objects)]
    for n, one in enumerate(objects):
        for other in objects[n + 1 :]:
            if one.of is other.of or not _alike(one, other):
                continue
            tag = next((it for it in one.fields if it in other.fields and _is_tag(one.fields[it], other.fields[it])), None)
            if tag is None:
                raise Undeclarable(
                    f"`{_name(hint)}`: a `{one.name}` cannot be told from a `{other.name}` when it is read again: "
                    'give each a field such as `kind: Literal["…"] = "…"`'
                )
            union.tags.setdefault(one, {}).setdefault(tag, other.name)
            union.tags.setdefault(other, {}).setdefault(tag, one.name)


def _is_tag(one: Field, other: Field) -> bool:
    return isinstance(one.kind, Values) and isinstance(other.kind, Values) and _differ(one.kind, other.kind)


def _alike(one: Objects, other: Objects) -> bool:
    """Whether there is an object that could be either."""
    mine = {name for name, it in one.fields.items() if it.required}
    theirs = {name for name, it in other.fields.items() if it.required}
    if not (mine <= set(other.fields) or not other.closed) or not (theirs <= set(one.fields) or not one.closed):
        return False
    shared = [it for it in one.fields if it in other.fields and (it in mine or it in theirs)]
    return not any(_differ(one.fields[it].kind, other.fields[it].kind) for it in shared)


def _differ(one: Kind, other: Kind) -> bool:
    if isinstance(one, Values) and isinstance(other, Values):
        return not any(same(mine, theirs) for mine, _ in one.members for theirs, _ in other.members)
    return one.json is not None and other.json is not None and not one.json & other.json


def description(hint: Any) -> dict[str, Any]:
    """Returns what `Annotated` says for people, as a part of a schema."""
    texts = [it for it in getattr(hint, "__metadata__", ()) if isinstance(it, str)]
    return {"description": texts[0]} if texts else {}


def _is_read_only(origin: Any) -> bool:
    return origin is not None and origin is getattr(typing, "ReadOnly", None)


def _name(hint: Any) -> str:
    if isinstance(hint, typing.ForwardRef):
        return hint.__forward_arg__
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "")


def _refused(hint: Any) -> Undeclarable:
    origin = get_origin(hint) or hint
    name = getattr(origin, "__name__", _name(hint))
    if origin is abc.Callable or name in ("function", "Callable"):
        return Undeclarable(
            f"`{_name(hint)}`, which cannot be stored: a function stays where it is; give its name, or what it returns"
        )
    if origin in (abc.Awaitable, abc.Coroutine, abc.AsyncIterator, abc.AsyncGenerator, abc.AsyncIterable):
        return Undeclarable(f"`{_name(hint)}`, which cannot be stored: write what it comes to")
    if origin is type:
        return Undeclarable(f"`{_name(hint)}`, which cannot be stored: write a `Literal` or an `Enum` of names")
    if isinstance(origin, type) and issubclass(origin, BaseException):
        return Undeclarable(f"`{name}`, which cannot be stored: raise it, or write `str`")
    return Undeclarable(f"`{_name(hint)}`, which cannot be stored: write {_INSTEAD.get(name, _A_CLASS)} instead")
