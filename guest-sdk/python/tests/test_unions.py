"""Unions: a value arrives as the kind that it was, and what could not be told apart is refused."""

import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import sys
import typing
import unittest
import uuid
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
sys.path.insert(0, str(Path(__file__).parent))

from retake import _declaration, flow, task
from retake._hints import Undeclarable
from retake._plain import Misfit
from retake.testing import Host
from test_types import Bird, Box, Color, Level, Line, Rights, schema, signature


@dataclasses.dataclass(frozen=True)
class File:
    path: str = "a.csv"
    kind: Literal["file"] = "file"


@dataclasses.dataclass(frozen=True)
class Table:
    path: str = "b"
    kind: Literal["table"] = "table"


@dataclasses.dataclass
class Fixed:
    n: int = 1
    kind: Literal["fixed"] = dataclasses.field(default="fixed", init=False)


@dataclasses.dataclass
class Open:
    n: int = 1
    kind: Literal["open"] = dataclasses.field(default="open", init=False)


class Colored(typing.NamedTuple):
    kind: Literal[Color.RED] = Color.RED


class Plain(typing.NamedTuple):
    kind: Literal[Color.GREEN] = Color.GREEN


class Sent(typing.TypedDict):
    kind: Literal["sent"]
    body: bytes


class Seen(typing.TypedDict):
    kind: Literal["seen"]
    day: datetime.date


@dataclasses.dataclass
class Job:
    source: File | Table = File("x")
    last: File | Table | None = None
    made: File | Table = dataclasses.field(default_factory=Table)
    more: list[File | Table] = dataclasses.field(default_factory=lambda: [Table(), File()])
    by: dict[str, File | Table] = dataclasses.field(default_factory=dict)
    color: "Color | Level" = Level.HIGH


@dataclasses.dataclass
class Not:
    of: "Not | All"
    kind: Literal["not"] = "not"


@dataclasses.dataclass
class All:
    of: "list[Not | All]" = dataclasses.field(default_factory=list)
    kind: Literal["all"] = "all"


@dataclasses.dataclass
class Base:
    n: int
    data: bytes = b""
    kind: Literal["base"] = "base"


@dataclasses.dataclass
class Derived(Base):
    kind: Literal["derived"] = "derived"


class Low(enum.IntEnum):
    A = 1
    B = 2


class High(enum.IntEnum):
    A = 10
    B = 20


class Both(enum.Enum):
    B = 2
    C = 3


class Half(enum.Enum):
    ONE = 1.0
    HALF = 0.5


class Name(enum.StrEnum):
    X = "x"


class Red(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Plainer:
    sku: str


DAY, MOMENT = datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3)
ID = uuid.UUID(int=7)
UTC = datetime.timezone.utc


class There(unittest.TestCase):
    """What arrives is what was given."""

    def check(self, hint: typing.Any, *values: typing.Any) -> None:
        for value in values:
            kinds = signature(hint, value)
            given = kinds.write({"x": value})
            found = kinds.read(given)["x"]
            self.assertEqual((found, type(found), repr(found)), (value, type(value), repr(value)), hint)
            self.assertEqual(kinds.schema["properties"]["x"]["default"], json.loads(given)["x"])

    def test_classes_with_a_literal_that_tells_them_apart(self) -> None:
        for hint in (File | Table, File | Table | None, File | Table | str | int):
            self.check(hint, File("c"), Table())
        self.check(File | Table | None, None)
        self.check(list[File | Table], [File(), Table()], [])
        self.check(list[File | Table] | File | Table, [Table()], Table())
        self.check(dict[str, File | Table], {"a": Table()})
        self.check(tuple[File | Table, ...], (Table(), File()))
        self.check(set[File | Table], {Table()})
        self.check(Fixed | Open, Fixed(2), Open(3))
        self.check(Colored | Plain, Plain(), Colored())
        self.check(Sent | Seen, {"kind": "seen", "day": DAY}, {"kind": "sent", "body": b"\xff"})
        self.check(Base | Derived, Base(1, b"\xff"), Derived(2, b"\xff"))
        self.check(Not | All, Not(All([Not(All()), All()])), All())
        self.check(Box[File] | Table, Box(File()), Table())
        self.check(Job, Job(), Job(Table("y"), File(), File(), [], {"a": Table()}, Color.RED))
        self.check(Job | None, Job(), None)

    def test_values_of_enumerations(self) -> None:
        self.check(Low | High, *Low, *High)
        self.check(list[Low] | list[High], [High.B], [Low.A])
        self.check(dict[str, High | Low], {"a": High.B})
        self.check(Color | Level | None, Color.GREEN, Level.HIGH, None)
        self.check(Low | float, Low.A, 1.0, 1.5)
        self.check(Half | int, Half.ONE, Half.HALF, 1)
        self.check(Half | High, Half.ONE, High.A)
        self.check(Name | Literal["z"], Name.X, "z")
        self.check(Literal["z"] | Name, Name.X, "z")
        self.check(Literal[1] | bool, 1, True)
        self.check(Name | str, Name.X, "y")
        self.check(Name | datetime.date, Name.X, DAY)
        self.check(Rights | str, Rights.READ, "1")
        self.check(Rights | bool, Rights.READ, True)
        self.check(Rights | float, Rights.READ, 1.0)
        self.check(Literal[Color.RED] | Color, Color.RED, Color.GREEN)

    def test_numbers(self) -> None:
        for hint in (int | float, float | int):
            self.check(hint, 1, 1.0, 1.5)
        self.check(bool | int, True, 1, 0)
        self.check(int | bool, False, 1)
        self.check(float | bool, True, 1.0)
        self.check(list[int] | list[float], [1.0], [1], [1.5])
        self.check(list[float] | list[int], [1.0], [1])
        self.check(dict[str, int] | dict[str, float], {"a": 1.0}, {"a": 1})
        self.check(decimal.Decimal | int, decimal.Decimal(1), 1)
        self.check(datetime.timedelta | float, 1.5, datetime.timedelta(1))

    def test_texts(self) -> None:
        for hint in (datetime.date | datetime.datetime | str, str | datetime.datetime | datetime.date):
            self.check(hint, DAY, MOMENT, MOMENT.replace(tzinfo=UTC), "hello", "2026-02-30")
        self.check(datetime.date | None, None, DAY)
        self.check(str | None, "null", None)
        self.check(uuid.UUID | str, ID, "a", ID.hex, f"{{{ID}}}", f"urn:uuid:{ID}")
        self.check(decimal.Decimal | str, decimal.Decimal("1.50"), "a", " 1.5", "1_000", "Infinity", "")
        self.check(list[str] | list[datetime.date], [DAY], ["a"])
        self.check(list[Color] | list[str], [Color.RED], ["a"])
        self.check(frozenset[bytes] | None, frozenset([b"\xff"]))

    def test_a_text_of_another_form_is_what_it_says(self) -> None:
        for hint, given, expected in [
            (datetime.datetime | str, "2026-01-02T03:00:00Z", MOMENT.replace(tzinfo=UTC)),
            (datetime.timedelta | str, "PT60M", datetime.timedelta(hours=1)),
            (uuid.UUID | str, str(ID).upper(), ID),
            (int | str, 3.0, 3),
            (float | None, 3, 3.0),
            (File | dict, {"path": "c"}, File("c")),
        ]:
            found = signature(hint).returns.read(given)
            self.assertEqual((found, type(found)), (expected, type(expected)))
        for hint, given in [(datetime.date | None, ""), (datetime.date | None, "null"), (int | None, 1.5), (Low | High, 3)]:
            with self.assertRaises(Misfit):
                signature(hint).returns.read(given)


class Tags(unittest.TestCase):
    def test_a_union_asks_for_what_tells_its_classes_apart(self) -> None:
        found = schema(File | Table, Table())
        self.assertEqual([it["required"] for it in found["anyOf"]], [["kind"], ["kind"]])
        self.assertEqual(found["default"], {"path": "b", "kind": "table"})
        self.assertNotIn("required", schema(File))
        self.assertEqual(schema(Not | All)["anyOf"][0], {"$ref": "#/$defs/Not", "required": ["kind"]})
        self.assertEqual([it["required"] for it in schema(Fixed | Open)["anyOf"]], [["kind"], ["kind"]])
        # Others are told apart by what they have to have.
        self.assertEqual([it["required"] for it in schema(Line | Bird)["anyOf"]], [["sku"], ["kind"]])
        self.assertEqual(schema(Line | Fixed)["anyOf"][1], schema(Fixed))

    def test_defaults_of_fields_are_shown(self) -> None:
        fields = schema(Job)["properties"]
        self.assertEqual(fields["source"]["default"], {"path": "x", "kind": "file"})
        self.assertEqual((fields["last"]["default"], fields["by"]["default"], fields["color"]["default"]), (None, {}, 2))
        # Nobody knows what else would come of a function when it is called again.
        self.assertFalse({"made", "more"} & {name for name, it in fields.items() if "default" in it})

    def test_what_does_not_fit_is_said_of_the_class_that_was_meant(self) -> None:
        read = signature(File | Table | None).returns.read
        for given, expected in [
            ({"path": "c"}, "has no `kind`, which tells a `File` from a `Table`"),
            ({"kind": "table", "path": 1}, "^`/path`: is 1, and not of type string"),
            ({"kind": "blob"}, "`/kind`: is 'blob', which is none of"),
        ]:
            with self.assertRaisesRegex(Misfit, expected):
                read(given)
        with self.assertRaisesRegex(Misfit, "`/kind`: is 'open', which is none of 'fixed'"):
            signature(Fixed).returns.read({"kind": "open"})
        self.assertEqual(signature(Fixed).returns.read({"n": 3}), Fixed(3))


class Ambiguous(unittest.TestCase):
    def test_what_could_be_either_is_refused(self) -> None:
        for hint, expected in [
            (Low | Both, "`Low.B` and `Both.B` are both stored as 2: give them other values, or write one of the two"),
            (Low | Half, "`Low.A` and `Half.ONE` are both stored as 1"),
            (list[Low | Both], "both stored as 2"),
            (Literal[Color.RED, Red.RED], "`Color.RED` and `Red.RED` are both stored as 'red'"),
            (Rights | int, "a `Rights` is stored as a whole number, and cannot be told from an `int`"),
            (Rights | Low, "a `Rights` is stored as a whole number, and cannot be told from a `Low`"),
            (Rights | Literal[1], "a `Rights` is stored as a whole number, and cannot be told from 1"),
            (bytes | Path, "bytes are stored as text, and cannot be told from it: write one of them"),
            (fractions.Fraction | decimal.Decimal, "cannot be told from a `Decimal`: write one of them"),
            (Line | Plainer, "a `Line` cannot be told from a `Plainer`.*: give each a field such as `kind: Literal"),
        ]:
            with self.assertRaisesRegex(Undeclarable, expected):
                signature(hint)

    def test_of_two_that_say_as_much_it_is_the_first(self) -> None:
        for hint, given, expected in [
            (Color | Literal["red"], "red", Color.RED),
            (Literal["red"] | Color, "red", "red"),
            (set[int] | list[int], [1], {1}),
            (list[int] | set[int], [1], [1]),
            (Path | str, "a", Path("a")),
            (Color | str, "red", Color.RED),
            (int | Low, 1, Low.A),
        ]:
            found = signature(hint).returns.read(given)
            self.assertEqual((found, type(found)), (expected, type(expected)), hint)

    def test_an_alias_hides_nothing(self) -> None:
        Alias = typing.TypeAliasType("Alias", Both | None) if hasattr(typing, "TypeAliasType") else Both | None
        with self.assertRaisesRegex(Undeclarable, "both stored as 2"):
            signature(typing.Union[Alias, Low])  # noqa: UP007 - An alias of 3.12 has no `|` in 3.11.


class Runs(unittest.TestCase):
    def setUp(self) -> None:
        _declaration.FLOWS.clear()
        _declaration.TASKS.clear()

    def test_defaults_arrive_as_their_class(self) -> None:
        @task
        def kind_of(of: File | Table = Table(), level: Low | High | None = High.A) -> str:
            return f"{type(of).__name__} {level!r}"

        @flow
        def run(source: File | Table | None = None, other: File | Table = File("c")) -> list[str]:
            return [repr(source), repr(other), kind_of(), kind_of(other, Low.B), kind_of(Table(), None)]

        found = Host().run(run).result
        self.assertEqual(found[0], "None")
        self.assertEqual(found[1], repr(File("c")))
        self.assertEqual(found[2:], ["Table <High.A: 10>", "File <Low.B: 2>", "Table None"])
        self.assertEqual(Host().run(run, source=Table("z")).result[0], repr(Table("z")))


if __name__ == "__main__":
    unittest.main()
