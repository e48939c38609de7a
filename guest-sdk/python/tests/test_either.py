"""Unions of classes: those that hold themselves, that derive from each other, and models."""

import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import sys
import typing
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "src")]

from test_types import signature

from retake._hints import Undeclarable
from retake._plain import Misfit
from retake._schema import dumped

date = datetime.date


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Size(enum.StrEnum):
    S = "s"


class Big(enum.StrEnum):
    S = "s"
    XL = "xl"


@dataclasses.dataclass(frozen=True)
class Disk:
    path: str = "/"
    at: date | None = None
    kind: typing.Literal["disk"] = "disk"


@dataclasses.dataclass(frozen=True)
class Web:
    path: str = "/"
    at: date | None = None
    kind: typing.Literal["web"] = "web"


@dataclasses.dataclass
class Leaf:
    value: int = 0
    kind: typing.Literal["leaf"] = "leaf"


@dataclasses.dataclass
class Sum:
    left: "Sum | Product | Leaf" = dataclasses.field(default_factory=Leaf)
    right: "Sum | Product | Leaf" = dataclasses.field(default_factory=Leaf)
    kind: typing.Literal["sum"] = "sum"


@dataclasses.dataclass
class Product:
    left: "Sum | Product | Leaf" = dataclasses.field(default_factory=Leaf)
    right: "Sum | Product | Leaf" = dataclasses.field(default_factory=Leaf)
    kind: typing.Literal["product"] = "product"


@dataclasses.dataclass
class Base:
    n: int


@dataclasses.dataclass
class Derived(Base):
    data: bytes


@dataclasses.dataclass
class Loose:
    n: float


class OnDay(typing.TypedDict):
    kind: typing.Literal["day"]
    of: date


class InBytes(typing.TypedDict):
    kind: typing.Literal["bytes"]
    of: bytes


class Model1:
    """A model that takes whatever it is given, as pydantic's do."""

    fields: typing.ClassVar = ("a",)

    def __init__(self, **given: typing.Any) -> None:
        self.__dict__ = {name: given.get(name) for name in self.fields}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    @classmethod
    def model_json_schema(cls) -> dict[str, typing.Any]:
        return {"type": "object", "properties": {it: {} for it in cls.fields}}

    @classmethod
    def model_validate(cls, value: typing.Any) -> "Model1":
        return cls(**value)

    def model_dump(self, **_: typing.Any) -> dict[str, typing.Any]:
        return dict(self.__dict__)


class Model2(Model1):
    fields = ("a", "b")


def there_and_back(hint: typing.Any, value: typing.Any) -> typing.Any:
    kinds = signature(hint)
    return kinds.returns.read(json.loads(dumped(kinds.returns.write(value))))


class Unions(unittest.TestCase):
    def same(self, hint: typing.Any, *values: typing.Any) -> None:
        for value in values:
            found = there_and_back(hint, value)
            self.assertEqual((repr(found), type(found)), (repr(value), type(value)), hint)

    def test_those_that_hold_themselves(self) -> None:
        found = signature(Sum | Product | Leaf)
        self.assertIn({"$ref": "#/$defs/Sum", "required": ["kind"]}, found.schema["properties"]["x"]["anyOf"])
        self.same(Sum | Product | Leaf, Product(Sum(Leaf(1), Product()), Leaf(2)))
        deep: typing.Any = Leaf(1)
        for _ in range(50):
            # Each level could be taken for either: that must not be tried for all of them.
            deep = Product(deep, Leaf())
        self.same(Sum | Product | Leaf, deep)

    def test_classes_go_by_their_own_class(self) -> None:
        self.same(Base | Derived, Base(1), Derived(1, b"x"))
        self.same(Derived | Base, Base(1), Derived(1, b"x"))
        for hint in (OnDay | InBytes, InBytes | OnDay):
            self.same(hint, {"kind": "bytes", "of": b"x"}, {"kind": "day", "of": date(2026, 1, 2)})
        self.same(dict[str, typing.Any] | Base, Base(1), {"x": 1})
        self.same(dict[str, int] | Loose, Loose(1.0))
        self.assertEqual(signature(dict[str, typing.Any] | Loose).returns.read({"n": 1}), Loose(1.0))
        for hint in (Model1 | Model2, Model2 | Model1):
            for value in (Model1(a=1), Model2(a=1, b=2)):
                self.assertEqual(there_and_back(hint, value), value)

    def test_what_says_most_goes_first_in_any_order(self) -> None:
        self.same(Disk | Web | dict[str, typing.Any], {"path": "/"}, {}, Web())
        self.same(tuple[int, int] | tuple[float, float], (1, 2), (1.0, 2.0))
        self.same(fractions.Fraction | str, fractions.Fraction(1, 3), "1_0/3", " 1/3 ", "a", "1/0")
        self.same(Size | typing.Literal["s", "m"], Size.S, "m")
        self.assertEqual(signature(Level | None).returns.read(1.0), Level.LOW)
        self.assertEqual(signature(decimal.Decimal | None).returns.write(5), "5")
        with self.assertRaises(Misfit):
            signature(Rights).returns.read(True)

    def test_members_that_are_stored_alike_are_refused_in_a_literal_too(self) -> None:
        for hint in (typing.Literal[Size.S] | Big, typing.Literal[Size.S, Big.S]):
            with self.assertRaisesRegex(Undeclarable, "`Size.S` and `Big.S` are both stored as 's'"):
                signature(hint)
        with self.assertRaisesRegex(Undeclarable, "a `Rights` is stored as a whole number"):
            signature(Rights | typing.Literal[8])


if __name__ == "__main__":
    unittest.main()
