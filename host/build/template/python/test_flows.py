"""Flows and tasks are ordinary functions outside of a component: `PYTHONPATH=retake-sdk/src python3 -m unittest`."""

import unittest

from flows import compose, greet


class Greeting(unittest.TestCase):
    def test_it_names_whom_it_greets(self) -> None:
        self.assertEqual(compose("Ann"), "Hello, Ann!")
        self.assertEqual(greet("Ann", fails=0).attempt, 1)
