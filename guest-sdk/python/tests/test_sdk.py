"""The SDK without a host. What a host makes of it is in `tests/tests/languages.rs`."""

import contextlib
import datetime
import io
import logging
import os
import sys
import types
import typing
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

import retake
from retake import Failure, _declaration, exponential_backoff, flow, task, unmapped
from retake._failure import raised
from retake._policy import policy


def told(code: str, message: str, details: str | None) -> types.SimpleNamespace:
    """A failure as a host tells it."""
    return types.SimpleNamespace(code=code, message=message, retry="by-policy", details=details)


class Declared(unittest.TestCase):
    def setUp(self) -> None:
        _declaration.FLOWS.clear()
        _declaration.TASKS.clear()


class Policies(unittest.TestCase):
    def test_prefects_words(self) -> None:
        self.assertEqual(policy(3, 10).delay, 10_000)
        self.assertEqual(policy(3, [1, 2.5]).delay, [1000, 2500])
        self.assertEqual(policy(3, exponential_backoff(10)).delay, (10_000, 2000))
        self.assertEqual(list(exponential_backoff(10)(3)), [10, 20, 40])
        self.assertEqual(policy(3, lambda n: [n, n + 1]).delay, [3000, 4000])
        self.assertEqual(policy(2, datetime.timedelta(minutes=5)).delay, 300_000)
        made = policy(1, None, jitter=0.25, fail_on=[ValueError, "http.4.*"], park_on=["x"])
        self.assertEqual(made.jitter, 250)
        self.assertEqual(made.rules, [(["ValueError", "http.4.*"], "fail"), (["x"], "park")])

    def test_what_is_out_of_bounds_is_named(self) -> None:
        for words, arguments in [
            ("`retries`", (-1, 0)),
            ("`retries`", (10_001, 0)),
            ("`retry_delay_seconds`", (1, -1)),
            ("`retry_delay_seconds`", (1, 31 * 86400)),
            ("101 delays", (1, [1] * 101)),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                policy(*arguments)
        with self.assertRaisesRegex(TypeError, "`retry_delay_seconds`"):
            policy(1, "5m")
        with self.assertRaisesRegex(TypeError, "no option `retry_jiter_factor`"):
            task(retry_jiter_factor=0.5)


class Functions(Declared):
    def test_they_are_ordinary_functions_outside_of_a_component(self) -> None:
        @task(retries=2)
        def double(n: int, by: int = 2) -> int:
            return n * by

        @flow
        def total(ns: list[int]) -> int:
            print("counting")
            return sum(double.map(ns, by=unmapped(3)).result()) + double.submit(double.submit(1)).result()

        self.assertEqual(total([1, 2]), 9 + 4)
        self.assertEqual(double.map([1, 2], 5).result(), [5, 10])
        with self.assertRaisesRegex(ValueError, "equally long"):
            double.map([1, 2], [1])

    def test_a_name_is_taken_once(self) -> None:
        def twice() -> None:
            @task(name="same")
            def a() -> None: ...

            @task(name="same")
            def b() -> None: ...

        with self.assertRaisesRegex(ValueError, "two tasks are called `same`"):
            twice()

    def test_what_cannot_be_is_refused_where_it_is_written(self) -> None:
        with self.assertRaisesRegex(TypeError, "asynchronous"):

            @flow
            async def a() -> None: ...

        with self.assertRaisesRegex(TypeError, "cannot be given by name"):

            @task
            def b(*all: int) -> None: ...

        with self.assertRaisesRegex(ValueError, "64MiB"):
            task(memory="64 megs")(lambda: None)

    def test_a_name_follows_from_the_function(self) -> None:
        @flow
        def retry_it() -> None:
            """Says hello."""

        self.assertEqual((retry_it.name, retry_it.description), ("retry-it", "Says hello."))

    def test_futures_hold_what_was_raised(self) -> None:
        @task
        def bad() -> None:
            raise KeyError("x")

        future = bad.submit()
        self.assertIsInstance(future.result(raise_on_failure=False), KeyError)
        with self.assertRaises(KeyError):
            future.result()
        self.assertEqual(retake.wait([future]).done, {future})
        self.assertEqual(list(retake.as_completed([future])), [future])

    def test_the_author_says_what_is_worth_another_attempt(self) -> None:
        def worth_it(task: typing.Any, task_run: typing.Any, state: typing.Any) -> bool:
            try:
                state.result()
            except KeyError:
                return False
            except ValueError:
                return task_run.run_count < 3

        @task(retries=3, retry_condition_fn=worth_it)
        def t() -> None: ...

        def advised(error: Exception, attempt: int = 1) -> str | float:
            failure = Failure.of(error)
            failure.__cause__ = error
            return t.advised(failure, attempt).retry

        self.assertEqual(advised(KeyError("x")), "never")
        self.assertEqual(advised(ValueError("x")), "by-policy")
        self.assertEqual(advised(ValueError("x"), 3), "never")
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(advised(OSError("x")), "never")
        self.assertIn("OSError", said.getvalue())


class Failures(unittest.TestCase):
    def test_an_exception_is_one(self) -> None:
        try:
            raise ValueError("no")
        except ValueError as error:
            failure = Failure.of(error)
        self.assertEqual((failure.code, failure.message), ("ValueError", "no"))
        self.assertIn("test_sdk.py", failure.details["traceback"])
        self.assertEqual(Failure.permanent("a.b").retry, "never")
        with self.assertRaises(ValueError):
            Failure("a", retry="sometimes")

    def test_what_a_task_raised_can_be_caught_in_its_flow(self) -> None:
        with self.assertRaises(ValueError):
            raise raised(told("ValueError", "no", None))
        self.assertIsInstance(raised(told("ValueError", "no", '{"a": 1}')), Failure)
        for code in ["http.503", "print", "OSError", "SystemExit"]:
            self.assertIs(type(raised(told(code, "", None))).__name__ in ("Failure", code), True)


class Outside(unittest.TestCase):
    def test_context_secrets_and_logs_without_a_host(self) -> None:
        self.assertEqual(retake.context().attempt, 1)
        os.environ["SHOP_TOKEN"] = "x"
        self.assertEqual(retake.secret("shop-token"), "x")
        with self.assertRaises(Failure):
            retake.variable("nothing-of-the-kind")
        with self.assertLogs("retake.run", logging.WARNING):
            retake.get_run_logger().warning("careful")


if __name__ == "__main__":
    unittest.main()
