"""Values as JSON knows them, whatever was declared; and what JSON cannot say."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import pathlib
import re
import uuid
import zoneinfo
from collections import abc
from collections.abc import Callable
from typing import Any, NamedTuple

Path = tuple[Any, ...]

# The host takes 64 levels. Deeper than this is a value that nobody meant.
_DEEPEST = 200
# Python itself neither writes nor reads longer ones.
_MOST_BITS = 14_000


class Unstorable(TypeError):
    """A value that JSON cannot say, and where it is."""

    def __init__(self, at: Path, what: str) -> None:
        super().__init__(f"{of_place(at)}{what}")
        self.at = at
        self.what = what


class Misfit(ValueError):
    """A JSON value that is not what was declared, and where it is."""

    def __init__(self, at: Path, what: str) -> None:
        super().__init__(f"{of_place(at)}{what}")
        self.at = at
        self.what = what


def pointer(at: Path) -> str:
    """Returns a JSON pointer (RFC 6901)."""
    return "".join("/" + str(it).replace("~", "~0").replace("/", "~1") for it in at)


def of_place(at: Path) -> str:
    """Returns a place as a message begins with it."""
    return f"`{pointer(at)}`: " if at else ""


class Text(NamedTuple):
    """How values of a class are written as text, and read again."""

    schema: dict[str, str]
    write: Callable[[Any], str]
    #: Raises `ValueError` for what is none.
    read: Callable[[str], Any]


def _date(text: str) -> datetime.date:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ValueError("is no date")
    return datetime.date.fromisoformat(text)


def _moment(text: str) -> datetime.datetime:
    if not re.match(r"\d{4}-\d\d-\d\d[Tt ]", text):
        raise ValueError("is no date with a time")
    return datetime.datetime.fromisoformat(text)


def _time(text: str) -> datetime.time:
    if not re.match(r"\d\d:\d\d", text):
        raise ValueError("is no time")
    return datetime.time.fromisoformat(text)


def _written_moment(of: datetime.datetime) -> str:
    text = of.isoformat()
    # A zone's seconds, as those of long ago have them, are no part of RFC 3339.
    if of.utcoffset() is not None and of.utcoffset() % datetime.timedelta(minutes=1):
        text = of.astimezone(datetime.timezone.utc).isoformat()
    return text


def duration(of: datetime.timedelta) -> str:
    """Returns a length of time as ISO 8601 has it: `P1DT2H3.5S`."""
    if of < datetime.timedelta():
        return "-" + duration(-of)
    hours, rest = divmod(of.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    exact = f"{seconds}.{of.microseconds:06}".rstrip("0") if of.microseconds else str(seconds)
    parts = [f"{hours}H" * bool(hours), f"{minutes}M" * bool(minutes), f"{exact}S" * (exact != "0")]
    time = "".join(parts)
    days = f"{of.days}D" if of.days else ""
    return f"P{days}T{time}" if time else f"P{days or 'T0S'}"


_DURATION = re.compile(
    r"([+-]?)P(?=.)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d{1,6})\d*)?S)?)?", re.ASCII
)


def _duration(text: str) -> datetime.timedelta:
    found = _DURATION.fullmatch(text)
    if not found:
        # Years and months are not equally long.
        raise ValueError("is no duration in weeks, days, hours, minutes and seconds, such as PT1H30M")
    sign, weeks, days, hours, minutes, seconds, parts = found.groups()
    number = [int(it or 0) for it in (weeks, days, hours, minutes, seconds)]
    whole = datetime.timedelta(
        weeks=number[0], days=number[1], hours=number[2], minutes=number[3], seconds=number[4],
        microseconds=int((parts or "0").ljust(6, "0")),
    )  # fmt: skip
    return -whole if sign == "-" else whole


# As the host has it. Python takes more for a number, such as `1_000`, which would be a text under `Decimal | str`.
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FRACTION = re.compile(r"[+-]?(\d+(/\d+)?|\d+\.\d*|\.\d+)", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _decimal(text: str) -> decimal.Decimal:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("is no decimal number")
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError("is no decimal number") from None


def _fraction(text: str) -> fractions.Fraction:
    if not _FRACTION.fullmatch(text):
        raise ValueError("is no fraction, such as 1/3")
    return fractions.Fraction(text)


def _uuid(text: str) -> uuid.UUID:
    if not _UUID.fullmatch(text):
        raise ValueError("is no UUID as RFC 9562 writes it")
    return uuid.UUID(text)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("is not base64") from None


def _of_format(name: str, write: Callable[[Any], str], read: Callable[[str], Any]) -> Text:
    return Text({"type": "string", "format": name}, write, read)


_ANY_TEXT = {"type": "string"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}


def _base64(of: Any) -> str:
    return base64.b64encode(of).decode()


# Before a class stand those that it is the base of: a `datetime` is a `date`.
TEXTS: dict[type, Text] = {
    datetime.datetime: _of_format("date-time", _written_moment, _moment),
    datetime.date: _of_format("date", datetime.date.isoformat, _date),
    datetime.time: _of_format("time", datetime.time.isoformat, _time),
    datetime.timedelta: _of_format("duration", duration, _duration),
    uuid.UUID: _of_format("uuid", str, _uuid),
    decimal.Decimal: _of_format("decimal", str, _decimal),
    ipaddress.IPv4Address: _of_format("ipv4", str, ipaddress.IPv4Address),
    ipaddress.IPv6Address: _of_format("ipv6", str, ipaddress.IPv6Address),
    fractions.Fraction: Text(_ANY_TEXT, str, _fraction),
    zoneinfo.ZoneInfo: Text(_ANY_TEXT, str, zoneinfo.ZoneInfo),
    bytes: Text(_BASE64, _base64, _bytes),
    bytearray: Text(_BASE64, _base64, lambda it: bytearray(_bytes(it))),
    pathlib.PurePosixPath: Text(_ANY_TEXT, str, pathlib.PurePosixPath),
    pathlib.PurePath: Text(_ANY_TEXT, str, pathlib.PurePath),
    pathlib.Path: Text(_ANY_TEXT, str, pathlib.Path),
}
# Those that only a declaration makes something of. Elsewhere they would arrive as a text that nobody can read.
_DECLARED_ONLY = (bytes, bytearray, memoryview)


def text(value: str, at: Path) -> str:
    """Returns a text as it is, unless it is none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unstorable(at, "is text with half a character (a lone surrogate), which JSON cannot say") from None
    return str.__str__(value)


def number(value: float, at: Path) -> int | float:
    """Returns a number as it is, unless it is none."""
    if isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise Unstorable(at, "is a whole number of more than 4,200 digits, which is too long to be stored")
        return int(value)
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        raise Unstorable(at, f"is {name}, which JSON cannot say")
    return float(value)


def written(kind: Text, value: Any, at: Path) -> str:
    """Returns the text that a value is written as."""
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        raise Unstorable(at, f"is {value}, which JSON cannot say")
    return text(kind.write(value), at)


def plain(value: Any, at: Path = (), inside: tuple[int, ...] = ()) -> Any:
    """Returns a value as JSON knows it, going by what it is. Raises `Unstorable` with the place of what cannot be said."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value, at, inside)
    if isinstance(value, str):
        return text(value, at)
    if isinstance(value, (int, float)):
        return number(value, at)
    if isinstance(value, _DECLARED_ONLY):
        raise Unstorable(at, "is bytes, which JSON cannot say: declare it as `bytes`, and it is stored in base64")
    for kind, how in TEXTS.items():
        if isinstance(value, kind):
            return written(how, value, at)
    if id(value) in inside:
        raise Unstorable(at, "holds itself, which JSON cannot say")
    if len(inside) >= _DEEPEST:
        raise Unstorable(at, f"is nested more than {_DEEPEST} deep")
    return _compound(value, at, (*inside, id(value)))


def _compound(value: Any, at: Path, inside: tuple[int, ...]) -> Any:
    fields = named(value)
    if fields is not None:
        return {name: plain(it, (*at, name), inside) for name, it in fields.items()}
    if isinstance(value, abc.Mapping):
        return {key_of(name, at): plain(it, (*at, name), inside) for name, it in value.items()}
    if isinstance(value, abc.Set):
        return in_order([plain(it, (*at, n), inside) for n, it in enumerate(value)])
    if isinstance(value, (abc.Sequence, abc.Collection, abc.Iterator)) and not isinstance(value, type):
        return [plain(it, (*at, n), inside) for n, it in enumerate(value)]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json", by_alias=True), at, inside)
    if hasattr(value, "dict") and hasattr(value, "json"):
        return plain(value.dict(), at, inside)
    raise Unstorable(at, f"is {a_value(value)}, which JSON cannot say: give a dict, a list or a dataclass")


def named(value: Any) -> dict[str, Any] | None:
    """Returns the fields of a dataclass or of a named tuple."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {it.name: getattr(value, it.name) for it in dataclasses.fields(value) if it.init}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=False))
    return None


def key_of(name: Any, at: Path) -> str:
    """Returns a key, which has to be text."""
    if isinstance(name, enum.Enum):
        name = name.value
    if not isinstance(name, str):
        kind = type(name).__name__
        raise Unstorable(at, f"has the key {shown(name)}, which is no text: declare it as `dict[{kind}, …]`")
    return text(name, (*at, name))


def in_order(items: list[Any]) -> list[Any]:
    """Returns what was in a set, which has no order; but a call is known by what it is given."""
    return sorted(items, key=repr)


def shown(value: Any, most: int = 80) -> str:
    """Returns a value as people read it, whatever it is."""
    try:
        it = repr(value)
    except Exception:
        it = object.__repr__(value)
    return it if len(it) <= most else it[: most - 1] + "…"


def a_value(value: Any) -> str:
    """Returns what a value is, as a message names it."""
    if isinstance(value, type):
        return f"the class `{value.__name__}`"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function `{value.__name__}`"
    return f"a `{type(value).__name__}`"
