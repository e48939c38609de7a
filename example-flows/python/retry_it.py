"""A flow that fails, and is retried on its own.

The policy stands in the decorator: five more attempts, five minutes apart. When they are used up the run has failed,
and a person may still retry it.
"""

import random
from dataclasses import dataclass
from typing import Annotated

from retake import Failure, context, flow

# Counts how often the flow was entered in this sandbox. Each attempt gets a fresh one, so nobody ever sees another
# number than 1.
starts = 0


@dataclass
class Report:
    """What the flow returns when it succeeds."""

    attempt: int
    starts: int


@flow(name="retry-it", retries=5, retry_delay_seconds=300, log_prints=True)
def retry_it(
    fail_times: Annotated[
        int | None, "Fails this many attempts and then succeeds. Left out, every attempt is a matter of luck."
    ] = None,
) -> Report:
    """Says hello and fails, unless it is lucky."""
    global starts
    starts += 1
    attempt = context().attempt
    print(f"Hi from Retake! attempt {attempt}, start {starts} of this sandbox")
    # The host rolls the dice anew for each attempt.
    fails = random.random() < 0.5 if fail_times is None else attempt <= fail_times
    if fails:
        raise Failure("luck.bad", f"attempt {attempt} failed")
    return Report(attempt, starts)
