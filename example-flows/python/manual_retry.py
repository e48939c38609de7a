"""A flow that fails, and is retried by a person.

Without `retries` the first failure ends the run. `retake retry RUN`, or the button, starts another attempt, in a fresh
sandbox, until somebody gives up or it succeeds.
"""

import random
from typing import Annotated

from retake import Failure, context, flow
from retry_it import Report

starts = 0


@flow(name="Manual retry", log_prints=True)
def manual_retry(
    fail_times: Annotated[
        int | None, "Fails this many attempts and then succeeds. Left out, every attempt is a matter of luck."
    ] = None,
) -> Report:
    """Says hello and fails, unless it is lucky."""
    global starts
    starts += 1
    attempt = context().attempt
    print(f"Hi from Retake! attempt {attempt}, start {starts} of this sandbox")
    fails = random.random() < 0.5 if fail_times is None else attempt <= fail_times
    if fails:
        raise Failure("luck.bad", f"attempt {attempt} failed")
    return Report(attempt, starts)
