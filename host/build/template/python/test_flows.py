"""Flows and tasks are ordinary functions outside of a component: `PYTHONPATH=retake-sdk/src python3 -m unittest`."""

import unittest

from flows import compose, greet
from retake.testing import Host


class Greeting(unittest.TestCase):
    def test_it_names_whom_it_greets(self) -> None:
        self.assertEqual(compose("Ann"), "Hello, Ann!")
        self.assertEqual(greet("Ann", fails=0).attempt, 1)

    def test_a_retry_sends_again_and_does_not_write_again(self) -> None:
        """A host for tests runs the whole flow, with its retries, on a clock that waits for nothing."""
        # Both rounds of `send` fail: its three attempts in the flow's first attempt, and three in its second.
        run = Host().fail("send", 6).run(greet, name="Ann", fails=0)
        self.assertEqual(run.state, "Failed")
        self.assertEqual(run.call("send").waits, [1, 2, 5, 1, 2])
        run.retry()
        self.assertEqual(run.state, "Completed")
        self.assertTrue(run.call("compose").fed_back)
        self.assertEqual(len(run.call("compose").attempts), 1)
