"""What type hints mean: schemas, values there and back, and what is refused."""

import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import pathlib
import sys
import typing
import unittest
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from retake import Failure, _declaration, flow, task
from retake._hints import Undeclarable
from retake._plain import Misfit, Unstorable, duration, plain
from retake._schema import Signature, dumped
from retake.testing import Host

T = typing.TypeVar("T")
Day = typing.NewType("Day", datetime.date)


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Odd(enum.Enum):
    A = object()


@dataclasses.dataclass
class Line:
    sku: str
    count: int = 1


@dataclasses.dataclass
class Order:
    lines: list[Line]
    color: Color | None = None
    due: datetime.date | None = None
    within: "Order | None" = None


@dataclasses.dataclass
class Box(typing.Generic[T]):
    item: T
    more: list[T] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Made:
    n: int
    twice: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("n is negative")
        object.__setattr__(self, "twice", 2 * self.n)


@dataclasses.dataclass
class Passed:
    n: int
    seed: dataclasses.InitVar[int]


@dataclasses.dataclass
class Wrong:
    n: int = "a"


@dataclasses.dataclass
class Cat:
    name: str


@dataclasses.dataclass
class Dog:
    name: str
    kind: typing.Literal["dog"] = "dog"


@dataclasses.dataclass
class Bird:
    kind: typing.Literal["bird"]


@dataclasses.dataclass
class Fish:
    kind: typing.Literal["fish"]


class Point(typing.NamedTuple):
    x: int
    y: int = 0


class Movie(typing.TypedDict):
    title: str
    year: typing.NotRequired[int]
    seen: list[datetime.date]


class Strange:
    pass


def signature(hint: typing.Any, default: typing.Any = ...) -> Signature:
    def fn(x): ...

    def fn_with_default(x=default): ...

    it = fn if default is ... else fn_with_default
    it.__annotations__ = {"x": hint, "return": hint}
    import inspect

    return Signature("task `t`", it, list(inspect.signature(it).parameters.values()), {})


def schema(hint: typing.Any, default: typing.Any = ...) -> typing.Any:
    return signature(hint, default).schema["properties"]["x"]


class Schemas(unittest.TestCase):
    def test_they_follow_from_the_hints(self) -> None:
        date = {"type": "string", "format": "date"}
        for hint, expected in [
            (int, {"type": "integer"}),
            (list[str], {"type": "array", "items": {"type": "string"}}),
            (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
            (
                dict[int, str],
                {
                    "type": "object",
                    "propertyNames": {"pattern": "^-?(0|[1-9][0-9]*)$"},
                    "additionalProperties": {"type": "string"},
                },
            ),
            (
                dict[datetime.date, int],
                {"type": "object", "propertyNames": {"format": "date"}, "additionalProperties": {"type": "integer"}},
            ),
            (
                dict[Color, int],
                {"type": "object", "propertyNames": {"enum": ["red", "green"]}, "additionalProperties": {"type": "integer"}},
            ),
            (typing.Literal["a", 1], {"enum": ["a", 1]}),
            (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            (
                tuple[int, str],
                {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
            ),
            (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
            (Color, {"enum": ["red", "green"]}),
            (Level, {"enum": [1, 2]}),
            (Rights, {"type": "integer"}),
            (datetime.datetime, {"type": "string", "format": "date-time"}),
            (datetime.date, date),
            (datetime.time, {"type": "string", "format": "time"}),
            (datetime.timedelta, {"type": "string", "format": "duration"}),
            (decimal.Decimal, {"type": "string", "format": "decimal"}),
            (uuid.UUID, {"type": "string", "format": "uuid"}),
            (bytes, {"type": "string", "contentEncoding": "base64"}),
            (ipaddress.IPv4Address, {"type": "string", "format": "ipv4"}),
            (Day, date),
            (
                Point,
                {
                    "type": "object",
                    "title": "Point",
                    "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
                    "additionalProperties": False,
                    "required": ["x"],
                },
            ),
            (typing.Annotated[str, "A name."], {"type": "string", "description": "A name."}),
            (typing.Any, {}),
            (object, {}),
        ]:
            self.assertEqual(schema(hint), expected, hint)
        self.assertEqual(schema(datetime.date | None, None), {"anyOf": [date, {"type": "null"}], "default": None})
        self.assertEqual(schema(int, None), {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None})
        self.assertEqual(schema(Movie)["required"], ["title", "seen"])

    def test_a_dataclass_is_an_object_and_may_hold_itself(self) -> None:
        found = signature(Order).schema
        order = found["$defs"]["Order"]
        self.assertEqual(found["properties"]["x"], {"$ref": "#/$defs/Order"})
        self.assertEqual(order["required"], ["lines"])
        self.assertEqual(order["properties"]["lines"]["items"]["properties"]["count"], {"type": "integer", "default": 1})
        self.assertEqual(order["properties"]["within"]["anyOf"][0], {"$ref": "#/$defs/Order"})
        self.assertFalse(order["additionalProperties"])

    def test_a_model_makes_its_own(self) -> None:
        class Model:
            @classmethod
            def model_json_schema(cls) -> dict[str, typing.Any]:
                return {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "integer"}}}

            @classmethod
            def model_validate(cls, value: typing.Any) -> "tuple[str, typing.Any]":
                return ("made", value)

        self.assertEqual(signature(Model).schema["$defs"], {"A": {"type": "integer"}})
        self.assertEqual(signature(Model).returns.read({"a": 1}), ("made", {"a": 1}))


class Values(unittest.TestCase):
    def test_they_arrive_as_they_are_declared(self) -> None:
        utc = datetime.timezone.utc
        for hint, value in [
            (Order, Order([Line("a", 2)], Color.RED, datetime.date(2026, 11, 26), Order([]))),
            (set[int], {3, 1}),
            (frozenset[datetime.date], frozenset({datetime.date(2026, 1, 2)})),
            (tuple[int, ...], (1, 2)),
            (tuple[int, datetime.date], (1, datetime.date(2026, 1, 2))),
            (tuple[()], ()),
            (dict[str, Line], {"x": Line("b")}),
            (dict[int, bytes], {1: b"\xff", -20: b""}),
            (dict[float, bool], {1.5: True}),
            (dict[bool, int], {True: 1}),
            (dict[datetime.date, int], {datetime.date(2026, 1, 2): 1}),
            (dict[uuid.UUID, int], {uuid.UUID(int=7): 1}),
            (dict[Color, int], {Color.RED: 1}),
            (dict[Level, list[Point]], {Level.HIGH: [Point(1, 2)]}),
            (dict[typing.Literal["a", "b"], int], {"a": 1}),
            (collections.OrderedDict[str, int], collections.OrderedDict(a=1)),
            (collections.Counter[str], collections.Counter("aab")),
            (collections.defaultdict[int, list[int]], collections.defaultdict(list, {1: [2]})),
            (collections.deque[int], collections.deque([1])),
            (Sequence[int], [1, 2]),
            (datetime.datetime, datetime.datetime(2026, 1, 2, 3, 4, 5, 6)),
            (datetime.datetime, datetime.datetime(2026, 1, 2, tzinfo=utc)),
            (datetime.datetime | datetime.date, datetime.date(2026, 1, 2)),
            (datetime.date | datetime.datetime, datetime.datetime(2026, 1, 2)),
            (datetime.time, datetime.time(1, 2)),
            (datetime.timedelta, datetime.timedelta(days=-1, seconds=3, microseconds=4)),
            (decimal.Decimal, decimal.Decimal("1E+3")),
            (decimal.Decimal | None, decimal.Decimal("0.10")),
            (bytes, b"\x00\xff"),
            (bytearray, bytearray(b"a")),
            (pathlib.Path, pathlib.Path("a/b")),
            (str | int | None, "1"),
            (int | bool, True),
            (int | float, 2.0),
            (int | float, 2),
            (float, 2.0),
            (int, 10**300),
            (Rights, Rights.READ | Rights.WRITE),
            (typing.Literal[Color.RED, 1], Color.RED),
            (Box[datetime.date], Box(datetime.date(2026, 1, 2), [datetime.date(2026, 1, 3)])),
            (Box[Box[int]], Box(Box(1))),
            (Made, Made(3)),
            (Point, Point(1)),
            (Movie, {"title": "a", "seen": [datetime.date(2026, 1, 2)]}),
            (Bird | Fish, Fish("fish")),
            (list[int] | dict[str, int], {"a": 1}),
            (typing.Annotated[datetime.date, "Day"] | None, datetime.date(2026, 1, 2)),
        ]:
            kinds = signature(hint)
            import json

            found = kinds.returns.read(json.loads(dumped(kinds.returns.write(value))))
            self.assertEqual((found, type(found)), (value, type(value)), hint)

    def test_a_whole_float_is_an_int_where_one_is_declared(self) -> None:
        for hint, given, expected in [
            (int, 2.0, 2),
            (list[int], [1.0], [1]),
            (int | None, 3.0, 3),
            (dict[str, int | str], {"a": 1.0}, {"a": 1}),
        ]:
            kinds = signature(hint)
            for found in (kinds.returns.write(given), kinds.returns.read(given)):
                self.assertEqual(repr(found), repr(expected))
        with self.assertRaisesRegex(Misfit, "write its digits"):
            signature(int).returns.read(float(2**53) * 2)
        self.assertEqual(list(signature(Iterator[int]).returns.read([1, 2])), [1, 2])

    def test_what_does_not_fit_is_named_by_its_place(self) -> None:
        for hint, value, expected in [
            (int, "1", "not of type integer"),
            (int, True, "not of type integer"),
            (float, "1", "not of type number"),
            (datetime.date, "2026-02-30", "no `date`"),
            (datetime.date, "20260228", "no `date`"),
            (datetime.timedelta, "P1M", "no duration"),
            (bytes, "%%", "base64"),
            (list[int], [1, "x"], "`/1`: is 'x'"),
            (dict[str, list[int]], {"a/b": [None]}, "`/a~1b/0`: is None"),
            (Order, {"lines": [{"sku": "a", "size": 1}]}, "`/lines/0`: has `size`"),
            (Order, {}, "has no `lines`"),
            (Made, {"n": -1}, "ValueError: n is negative"),
            (list[Made | None], [{"n": -1}], "`/0`"),
            (Color, "blue", "none of 'red', 'green'"),
            (dict[int, int], {"x": 1}, "`/x`: is no key"),
            (tuple[int, int], [1], "a list of 2"),
        ]:
            with self.assertRaisesRegex(Misfit, expected):
                signature(hint).returns.read(value)

    def test_what_json_cannot_say_is_named_by_its_place(self) -> None:
        cycle: list[typing.Any] = [1]
        cycle.append({"a": cycle})
        deep: list[typing.Any] = []
        for _ in range(5000):
            deep = [deep]
        nan = float("nan")
        for value, expected in [
            (nan, "^is NaN, which JSON cannot say"),
            ({"rows": [1.5, nan]}, "`/rows/1`: is NaN"),
            (float("-inf"), "is -Infinity"),
            (decimal.Decimal("NaN"), "is NaN"),
            (b"x", "is bytes"),
            ({"a": bytearray(b"x")}, "`/a`: is bytes"),
            ({1: 2}, r"the key 1, which is no text: declare it as `dict\[int"),
            (cycle, "`/1/a`: holds itself"),
            (deep, "nested"),
            ("\ud83d", "half a character"),
            ({"\ud83d": 1}, "half a character"),
            (object(), "is a `object`"),
            (Strange, "the class `Strange`"),
            (len, "the function `len`"),
            (1j, "is a `complex`"),
            (10**5000, "4,200 digits"),
        ]:
            for hint in (typing.Any, list, dict, dict[str, typing.Any], Order | None, int):
                with self.assertRaisesRegex(Unstorable, expected):
                    signature(hint).returns.write(value)

    def test_what_is_not_declared_is_stored_as_what_it_is(self) -> None:
        self.assertEqual(plain(Point(1)), {"x": 1, "y": 0})
        self.assertEqual(
            plain({"a": {3, 1}, "b": range(2), "c": (it for it in "xy"), "d": {1: 2}.values()}),
            {"a": [1, 3], "b": [0, 1], "c": ["x", "y"], "d": [2]},
        )
        self.assertEqual(
            plain([Level.LOW, Color.RED, uuid.UUID(int=1), datetime.date(2026, 1, 2)]),
            [1, "red", "00000000-0000-0000-0000-000000000001", "2026-01-02"],
        )
        shared = [1]
        self.assertEqual(plain([shared, shared]), [[1], [1]])

    def test_durations(self) -> None:
        delta = datetime.timedelta
        for it, expected in [
            (delta(), "PT0S"),
            (delta(days=1, hours=2, seconds=3.5), "P1DT2H3.5S"),
            (delta(days=2), "P2D"),
            (delta(minutes=90), "PT1H30M"),
            (-delta(seconds=1), "-PT1S"),
        ]:
            self.assertEqual(duration(it), expected)
            self.assertEqual(signature(delta).returns.read(expected), it)


class Refused(unittest.TestCase):
    def test_what_cannot_be_stored_is_refused_with_what_to_write(self) -> None:
        for hint, expected in [
            (complex, "`complex`, which cannot be stored: write two numbers"),
            (list[complex], "two numbers"),
            (dict[str, Strange], "`Strange`, which cannot be stored: write a dataclass"),
            (Callable[[int], int], "a function stays where it is"),
            (type[int], "a `Literal` or an `Enum`"),
            (ValueError, "raise it"),
            (Passed, "InitVar"),
            (Cat | Dog, "a `Cat` cannot be told from a `Dog`"),
            (bytes | str, "cannot be told from it"),
            (dict[int | str, int], "keys are text, whole numbers"),
            (dict[tuple[int, int], int], "keys are text, whole numbers"),
            (Odd, "give it texts or numbers"),
            (Box[complex], "two numbers.*it is `Box.item`"),
            (set[list[int]], "write `list"),
            (Wrong, "whose default of `n` is 'a', and not of type integer"),
        ]:
            with self.assertRaisesRegex(Undeclarable, expected):
                signature(hint)
        with self.assertRaisesRegex(Undeclarable, "its parameter `x` is `complex`"):
            signature(complex)
        with self.assertRaisesRegex(Undeclarable, "the default of its parameter `x` is NaN"):
            signature(float, float("nan"))

        with self.assertRaisesRegex(Undeclarable, "the default of its parameter `x` is 'a', and not of type integer"):
            signature(int, "a")

        def absent(x: "Nowhere") -> None: ...  # noqa: F821

        import inspect

        with self.assertRaisesRegex(Undeclarable, "`Nowhere` in its hints is not found"):
            Signature("task `t`", absent, list(inspect.signature(absent).parameters.values()), {})


class Stored(unittest.TestCase):
    """What becomes of it in a run."""

    def setUp(self) -> None:
        _declaration.FLOWS.clear()
        _declaration.TASKS.clear()

    def test_results_that_cannot_be_stored_are_final(self) -> None:
        @task(retries=2)
        def price() -> float:
            return float("nan")

        @task(retries=2)
        def misfit() -> int:
            return "text"

        @task(retries=2)
        def rows():
            return {"rows": [1.5, b"x"]}

        @flow
        def all_of_them(which: str) -> None:
            {"price": price, "misfit": misfit, "rows": rows}[which]()

        for which, expected in [
            ("price", "task `price`: its result is NaN, which JSON cannot say"),
            ("rows", "task `rows`: its result at `/rows/1` is bytes"),
            ("misfit", "task `misfit`: its result is 'text', and not of type integer"),
        ]:
            run = Host().run(all_of_them, which=which)
            self.assertEqual((run.failure.code, len(run.call(which).attempts)), ("result.invalid", 1))
            self.assertIn(expected, run.failure.message)

    def test_inputs_that_cannot_be_stored_are_not_asked_for(self) -> None:
        @task(retries=2)
        def half(x: float) -> float:
            return x / 2

        @flow(retries=2)
        def bad() -> float:
            return half(float("nan"))

        run = Host().run(bad)
        self.assertEqual((run.failure.code, run.calls, len(run.attempts)), ("input.invalid", [], 1))
        self.assertEqual(run.failure.message, "task `half`: its input at `/x` is NaN, which JSON cannot say")

    def test_a_flow_and_its_children_are_given_what_they_declare(self) -> None:
        @task
        def next_day(day: datetime.date) -> datetime.date:
            return day + datetime.timedelta(days=1)

        @flow
        def child(day: datetime.date, by: dict[int, datetime.timedelta]) -> datetime.date:
            return day + by[1]

        @flow
        def parent(day: datetime.date) -> datetime.date:
            return child(next_day(day), {1: datetime.timedelta(days=1)})

        self.assertEqual(Host().run(parent, day=datetime.date(2026, 2, 27)).result, "2026-03-01")
        with self.assertRaises(Failure):
            Host().run(parent, day="2026-02-30").result  # noqa: B018


if __name__ == "__main__":
    unittest.main()
