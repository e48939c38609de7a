"""A flow with two tasks: `retake run . -p name=Ann` builds it and runs it.

What is imported here is loaded once, while the component is built, and each sandbox begins with it.
"""

from dataclasses import dataclass
from typing import Annotated

from retake import Failure, context, flow, task


@dataclass
class Receipt:
    """What the flow returns."""

    greeting: str
    # Which attempt it was that succeeded.
    attempt: int


@task(log_prints=True)
def compose(name: str) -> str:
    """Writes the greeting.

    A task runs in a sandbox of its own, and its result is kept. When the flow is retried, by its policy or by you, a
    task that has succeeded is not run again: its result is fed back.
    """
    # With `log_prints`, this is in `retake logs RUN`.
    print(f"writing to {name}")
    return f"Hello, {name}!"


@task(retries=2, retry_delay_seconds=[1, 2], log_prints=True)
def send(greeting: str, fails: int) -> Receipt:
    """Sends it. The outside world is flaky, so up to two more attempts are made, after 1 s and after 2 s."""
    # Counted from 1 over the whole life of the run, also when you retry it.
    attempt = context().attempt
    if attempt <= fails:
        # The first text is a code: rules of a policy, filters and notifications go by it. Of any other exception it is
        # the name of its class.
        raise Failure("mail.busy", f"the mail server is busy, attempt {attempt}")
    print(f"sent: {greeting}")
    return Receipt(greeting, attempt)


@flow(name="@name@", retries=1, retry_delay_seconds=5, log_prints=True)
def greet(
    name: Annotated[str, "Whom to greet."],
    fails: Annotated[int, "How many attempts to send fail. With 6 all attempts are used up."] = 1,
) -> Receipt:
    """Greets somebody.

    The arguments are the parameters of a run. When the body fails it is run again from its beginning, once, after 5 s:
    `compose` is answered with its kept result, `send` is tried again.
    """
    greeting = compose(name)
    return send(greeting, fails)
