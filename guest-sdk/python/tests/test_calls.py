"""Calls: chains side by side, timeouts, states, methods; what is refused where it is declared."""

import dataclasses
import sys
import typing
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from retake import Failure, _declaration, as_completed, flow, get_run_logger, sleep, task, wait
from retake._hints import Undeclarable
from retake.testing import Host


@dataclasses.dataclass
class Loader:
    base: int

    def add(self, n: int) -> int:
        return self.base + n

    def twice(n: int) -> int:
        return 2 * n

    def named(cls, n: int) -> str:
        return f"{cls.__name__} {n}"


class Plain:
    def add(self, n: int) -> int:
        return n


class Declared(unittest.TestCase):
    def setUp(self) -> None:
        _declaration.FLOWS.clear()
        _declaration.TASKS.clear()


class Chains(Declared):
    def slow(self, seconds: float = 1.0) -> typing.Any:
        @task
        def slow(n: int, seconds: float = seconds) -> int:
            sleep(seconds)
            return n + 1

        return slow

    def test_they_run_side_by_side(self) -> None:
        slow = self.slow()

        @flow
        def chains() -> list[int]:
            ends = [slow.submit(slow.submit(n)) for n in (1, 10, 20)]
            return [it.result() for it in ends]

        run = Host().run(chains)
        self.assertEqual((run.result, run.took), ([3, 12, 22], 2))
        killed = Host().kill_host_after("slow").kill_host_after("slow").run(chains)
        self.assertEqual((killed.result, [len(it.attempts) for it in killed.calls]), ([3, 12, 22], [1] * 6))

    def test_what_is_kept_back_is_asked_for_at_the_end_and_in_a_sleep(self) -> None:
        slow = self.slow()

        @flow
        def leaves() -> None:
            slow.submit(slow.submit(slow.submit(1)))

        @flow
        def sleeps() -> None:
            slow.submit(slow.submit(1))
            sleep(5)

        run = Host().run(leaves)
        self.assertEqual((len(run.calls), run.took), (3, 3))
        run = Host().run(sleeps)
        self.assertEqual((len(run.calls), round(run.took, 1)), (2, 5))

    def test_as_completed_and_wait_know_of_them(self) -> None:
        slow = self.slow()

        @flow
        def order() -> list[int]:
            futures = [slow.submit(slow.submit(1)), slow.submit(100, 1.5), slow.submit(slow.submit(10, 0.2), 0.2)]
            first = [it.result() for it in as_completed(futures)]
            return first + sorted(it.result() for it in wait([slow.submit(slow.submit(5)), slow.submit(6)]).done)

        self.assertEqual(Host().run(order).result, [12, 101, 3, 7, 7])

    def test_what_comes_after_a_failure_is_not_asked_for(self) -> None:
        slow = self.slow()

        @task
        def fails(n: int) -> int:
            raise ValueError("no")

        @flow
        def after() -> list[str]:
            bad = fails.submit(1)
            ends = [slow.submit(bad), slow.submit(5, wait_for=[bad]), slow.submit(6, wait_for=bad)]
            return [type(it.result(raise_on_failure=False)).__name__ for it in ends] + [str(ends[0].state)]

        run = Host().run(after)
        self.assertEqual((run.result, len(run.calls)), (["ValueError"] * 3 + ["Failed('no')"], 1))
        self.assertEqual(after(), ["ValueError"] * 3 + ["Failed('no')"], "outside of a component, too")

    def test_futures_are_found_wherever_they_are(self) -> None:
        @task
        def total(box: Loader, more: dict[str, list[int]], pair: tuple[int, int]) -> int:
            return box.base + sum(more["a"]) + sum(pair)

        slow = self.slow()

        @flow
        def all_of_them() -> int:
            f = slow.submit
            return total(Loader(f(0)), {"a": [f(1), 10]}, (f(2), 20))

        self.assertEqual(Host().run(all_of_them).result, 1 + 12 + 23)
        self.assertEqual(self.mapped(), [3, 4])

    def mapped(self) -> typing.Any:
        slow = self.slow()

        @task
        def numbers() -> list[int]:
            return [1, 2]

        @flow
        def maps() -> list[int]:
            return slow.map(slow.map(numbers.submit())).result()

        return Host().run(maps).result


class Waiting(Declared):
    def test_timeouts(self) -> None:
        @task
        def nap(n: int) -> int:
            sleep(n)
            return n

        @flow
        def waits() -> list[typing.Any]:
            said: list[typing.Any] = []
            long, short = nap.submit(30), nap.submit(1)
            for attempt in (lambda: long.result(timeout=2), lambda: list(as_completed([long], timeout=1))):
                try:
                    attempt()
                except TimeoutError as error:
                    said.append(str(error))
            done = wait([long, short], timeout=1)
            said += [len(done.done), len(done.not_done), long.state.name, short.state.is_completed()]
            long.wait(timeout=1)
            return [*said, long.done(), long.result(timeout=60), long.state.name]

        said = [
            "`nap` has not ended after 2 s",
            "1 of 1 calls have not ended after 1 s",
            1,
            1,
            "Running",
            True,
            False,
            30,
            "Completed",
        ]
        self.assertEqual(Host().run(waits).result, said)

    def test_states(self) -> None:
        @task
        def odd(n: int) -> int:
            if n % 2 == 0:
                raise ValueError("even")
            return n

        @flow
        def states() -> list[typing.Any]:
            good, bad = odd(1, return_state=True), odd.submit(2, return_state=True)
            return [good.result(), bad.is_failed(), bad.type, bad.message, type(bad.result(raise_on_failure=False)).__name__]

        expected = [1, True, "FAILED", "even", "ValueError"]
        self.assertEqual(Host().run(states).result, expected)
        self.assertEqual(states(), expected)

    def test_a_logger_may_be_taken_while_the_module_is_loaded(self) -> None:
        log = get_run_logger()

        @flow
        def logs() -> None:
            log.info("half \ud83d")

        self.assertEqual(Host().run(logs).log_lines, ["INFO half \ufffd"])


class Methods(Declared):
    def test_of_a_dataclass(self) -> None:
        add, twice, named = Loader.add, Loader.twice, Loader.named
        try:
            Loader.add, Loader.twice, Loader.named = task(add), staticmethod(task(twice)), classmethod(task(named))

            @flow
            def calls() -> list[typing.Any]:
                it = Loader(10)
                return [
                    it.add(1),
                    it.add.submit(2).result(),
                    it.add.map([3, 4]).result(),
                    Loader.twice(5),
                    Loader.named(6),
                    Loader.named.submit(7).result(),
                ]

            expected = [11, 12, [13, 14], 10, "Loader 6", "Loader 7"]
            self.assertEqual((Host().run(calls).result, calls()), (expected, expected))
        finally:
            Loader.add, Loader.twice, Loader.named = add, twice, named

    def test_of_a_class_that_cannot_be_stored(self) -> None:
        with self.assertRaisesRegex(Undeclarable, "its parameter `self` is `Plain`.*dataclass"):
            task(Plain.add).kinds  # noqa: B018

    def test_in_a_task_another_is_refused(self) -> None:
        @task
        def same(n: int) -> int:
            return n

        @task(retries=2)
        def outer() -> int:
            return same(1)

        @flow
        def calls() -> int:
            return outer()

        run = Host().run(calls)
        self.assertEqual((run.failure.code, len(run.call("outer").attempts)), ("host.not-in-a-task", 1))
        self.assertIn("task `outer` called task `same`", run.failure.message)
        self.assertEqual(run.failure.message.count(".fn(…)"), 1)
        self.assertEqual(outer(), 1, "outside of a component it is a function")


class Refused(Declared):
    def test_options_that_there_are_not(self) -> None:
        for make, option, expected in [
            (flow, "tags", "a flow has no option `tags`: its tasks have `tags`"),
            (flow, "version", "a flow has no option `version`"),
            (flow, "retry_condition_fn", "`fail_on`"),
            (flow, "flow_run_name", r"`with_options\(run_name=…\)`"),
            (flow, "validate_parameters", "always checked"),
            (flow, "task_runner", "side by side"),
            (task, "task_run_name", r"`with_options\(run_name=…\)`"),
            (task, "cache_key_fn", r"with_options\(key=…\)"),
            (task, "refresh_cache", "--rerun"),
            (task, "result_storage", "persist_result"),
            (task, "on_failure", "retake notify add"),
            (task, "timeout", "`timeout_seconds`"),
            (task, "max_retries", "write `retries`"),
            (task, "tag", "did you mean `tags`"),
        ]:
            with self.assertRaisesRegex(TypeError, expected):
                make(**{option: None})

        @task
        def t() -> None: ...

        for option, expected in [
            ("name", "write `run_name`"),
            ("timeout_seconds", "where the task or the flow is declared"),
            ("tags", "is declared"),
        ]:
            with self.assertRaisesRegex(TypeError, expected):
                t.with_options(**{option: None})
        with self.assertRaisesRegex(AttributeError, "a task has no `delay`; write `submit`"):
            t.delay  # noqa: B018

    def test_what_is_no_function_of_a_sandbox(self) -> None:
        import functools

        @task
        def t(n: int = 1) -> None: ...

        def reserved(wait_for: int) -> None: ...

        for make, expected in [
            (lambda: task(lambda n: n), "a lambda has no name"),
            (lambda: task(functools.partial(print, 1)), "written with `def`"),
            (lambda: task(print), "written with `def`"),
            (lambda: flow("name"), "write `@flow`"),
            (lambda: flow(t), "is a task already"),
            (lambda: task(reserved), "cannot be called `wait_for`"),
        ]:
            with self.assertRaisesRegex(TypeError, expected):
                make()
        self.assertEqual(task(name="inc")(lambda n: n + 1)(1), 2)

    def test_a_task_that_is_declared_while_a_flow_runs(self) -> None:
        @flow(retries=2)
        def late() -> None:
            @task
            def inner() -> None: ...

            inner()

        run = Host().run(late)
        self.assertEqual((run.failure.code, len(run.attempts)), ("TypeError", 1))
        self.assertIn("declare it at the top of the module", run.failure.message)


class Given(Declared):
    def test_failures_reach_the_flow_as_themselves(self) -> None:
        @task
        def bad(which: str) -> None:
            if which == "decode":
                b"\xff".decode()
            if which == "group":
                raise ExceptionGroup("many", [ValueError("a"), KeyError("b")])
            if which == "teapot":
                raise Teapot(status=418)
            if which == "exit":
                sys.exit("the text")
            if which == "unsayable":
                raise Unsayable("x")
            if which == "strange":
                raise Failure(503, ValueError("x"), details={1: {2}, "o": object, "n": float("nan")})

        @flow
        def catches() -> list[typing.Any]:
            found: list[typing.Any] = []
            try:
                bad("decode")
            except UnicodeDecodeError as error:
                found.append([error.object == b"\xff", error.start, str(error)[:7]])
            try:
                bad("group")
            except* ValueError as group:
                found.append(str(group.exceptions[0]))
            except* KeyError as group:
                found.append(str(group.exceptions[0]))
            try:
                bad("teapot")
            except Teapot as error:
                found.append(error.status)
            for which in ("exit", "unsayable", "strange"):
                try:
                    bad(which)
                except Failure as error:
                    found.append([error.code, error.message])
            return found

        self.assertEqual(
            Host().run(catches).result,
            [
                [True, 0, "'utf-8'"],
                "a",
                "'b'",
                418,
                ["SystemExit", "the text"],
                ["Unsayable", "a `Unsayable` whose text cannot be had (RuntimeError)"],
                ["503", "x"],
            ],
        )


class Teapot(Exception):
    def __init__(self, *, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("never")


if __name__ == "__main__":
    unittest.main()
