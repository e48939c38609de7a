"""The host for tests does as the host does."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from retake import Failure, _declaration, as_completed, context, exponential_backoff, flow, get_run_logger, secret, sleep, task
from retake.testing import Host


def declared():
    """Declares a few flows anew: other tests forget what there is."""
    _declaration.FLOWS.clear()
    _declaration.TASKS.clear()

    @task
    def reserve(order: int) -> str:
        return f"reservation for {order}"

    @task(retries=2, retry_delay_seconds=[1, 10], timeout_seconds=30)
    def charge(reservation: str) -> int:
        get_run_logger().info("charging %s, attempt %s", reservation, context().attempt)
        return 42

    @flow(retries=1, retry_delay_seconds=300)
    def checkout(order: int) -> int:
        return charge(reserve(order))

    @task
    def nap(seconds: int) -> int:
        sleep(seconds)
        return seconds

    @task
    def odd(n: int) -> int:
        if n % 2 == 0:
            raise ValueError("even")
        return n

    @flow
    def child(n: int) -> int:
        return odd(n)

    @flow
    def beside() -> list:
        futures = [nap.submit(3), nap.submit(1), nap.submit(2)]
        order = [it.result() for it in as_completed(futures)]
        try:
            child(2)
        except ValueError:
            order.append(0)
        return order + nap.map([1, 1]).result()

    @flow
    def parent(n: int) -> int:
        return child(n)

    @task(persist_result=False, retries=3, retry_delay_seconds=exponential_backoff(10))
    def send() -> str:
        return secret("token")

    @flow(retries=1)
    def mail(fails: int = 0) -> str:
        said = send()
        if context().attempt <= fails:
            raise Failure("mail.busy")
        return said

    return {it.__name__: it for it in (checkout, beside, parent, mail)}


class Testing(unittest.TestCase):
    def setUp(self) -> None:
        self.flows = declared()

    def checkout(self, host: Host):
        return host.run(self.flows["checkout"], order=7)

    def test_a_run_succeeds(self) -> None:
        run = self.checkout(Host())
        self.assertEqual((run.state, run.result), ("Completed", 42))
        self.assertEqual(run.log_lines, ["INFO charging reservation for 7, attempt 1"])
        self.assertFalse(run.call("reserve").fed_back)

    def test_retries_of_both_levels_multiply_and_wait_as_declared(self) -> None:
        run = self.checkout(Host().fail("charge", 4))
        self.assertEqual((run.state, run.took, run.waits), ("Completed", 312, [300]))
        self.assertEqual(run.call("charge").waits, [1, 10, 300, 1])
        self.assertTrue(run.call("reserve").fed_back)

    def test_what_hangs_or_is_permanent_or_says_when(self) -> None:
        run = self.checkout(Host().hang("charge").trap("charge"))
        codes = [it.failure.code for it in run.call("charge").attempts if it.failure]
        self.assertEqual((codes, run.took), (["sandbox.timeout", "sandbox.trap"], 41))
        run = self.checkout(Host().fail("charge", 1, Failure.permanent("card.gone")).fail("charge", 9))
        self.assertEqual((run.state, len(run.call("charge").attempts)), ("Failed", 1), "the flow is not tried again either")
        late = Failure("http.429", retry=90)
        self.assertEqual(self.checkout(Host().fail("charge", 1, late)).call("charge").waits, [90])

    def test_a_retry_by_hand_feeds_back_what_succeeded(self) -> None:
        run = self.checkout(Host().fail("charge", 6))
        self.assertEqual((run.state, run.failure.code), ("Failed", "test.failed"))
        run.fail("charge").retry()
        self.assertEqual((run.state, len(run.attempts)), ("Completed", 3))
        self.assertEqual([len(run.call(it).attempts) for it in ("reserve", "charge")], [1, 8])
        run.rerun("reserve")
        self.assertEqual([len(run.call(it).attempts) for it in ("reserve", "charge")], [2, 8])

    def test_a_host_that_dies_loses_nothing_that_was_kept(self) -> None:
        run = self.checkout(Host().kill_host_after("reserve").kill_host_after("charge"))
        self.assertEqual((run.state, len(run.attempts), run.attempts[0].resumed), ("Completed", 1, 2))
        self.assertEqual([len(run.call(it).attempts) for it in ("reserve", "charge")], [1, 1])

    def test_calls_overlap_in_time(self) -> None:
        run = Host().kill_host_after("nap").run(self.flows["beside"])
        self.assertEqual((run.result, run.took), ([1, 2, 3, 0, 1, 1], 4))

    def test_a_child_flow_is_a_run_of_its_own(self) -> None:
        run = Host().run(self.flows["parent"], n=2)
        self.assertEqual((run.state, run.failure.code), ("Failed", "ValueError"))
        self.assertEqual(len(run.retry().call("child").attempts), 2)
        self.assertEqual(Host().fail("child").run(self.flows["parent"], n=3).retry().result, 3)
        killed = Host().kill_host_after("odd").run(self.flows["parent"], n=3)
        self.assertEqual((killed.result, killed.attempts[0].resumed), (3, 1))

    def test_what_is_not_kept_is_run_again(self) -> None:
        run = Host().secret("token", "abc").run(self.flows["mail"], fails=1)
        self.assertEqual((run.result, len(run.call("send").attempts)), ("abc", 2))
        denied = Host().run(self.flows["mail"])
        self.assertEqual((denied.failure.code, len(denied.attempts)), ("sandbox.denied", 1))
        run = Host().secret("token", "abc").fail("send", 3).run(self.flows["mail"])
        self.assertEqual(run.call("send").waits, [10, 20, 40])


class Template(unittest.TestCase):
    def test_a_new_project_passes_its_own_tests(self) -> None:
        template = Path(__file__).parents[3] / "host/build/template/python"
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        with tempfile.TemporaryDirectory() as made:
            shutil.copytree(template, made, dirs_exist_ok=True)
            run = subprocess.run([sys.executable, "-m", "unittest"], cwd=made, env=env, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("Ran 2 tests", run.stderr)


if __name__ == "__main__":
    unittest.main()
