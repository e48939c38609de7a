"""Three tasks in a row, each with a policy of its own.

It shows what is not run again. When `load` fails the run fails; after a retry the flow's body runs from its beginning,
but `extract` and `enrich` have succeeded, so their results are fed back from the store and only `load` is run.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from retake import Failure, context, flow, sleep, task

Outcome = Literal["ok", "fail", "fail-once"]


@dataclass
class Order:
    """One order of a customer."""

    id: str
    cents: int
    # Filled in by `enrich`.
    country: str | None = None


@dataclass
class Receipt:
    """What was loaded."""

    customer: str
    orders: int
    cents: int
    # Which attempt of `load` did it.
    load_attempt: int


def pause(milliseconds: int) -> None:
    """Gives time to watch it, or to pull the plug."""
    if milliseconds:
        sleep(milliseconds / 1000)


@task(log_prints=True)
def extract(customer: str, pause_ms: int) -> list[Order]:
    """Reads the customer's orders."""
    print(f"extract: attempt {context().attempt}")
    pause(pause_ms)
    return [Order(f"{customer}-{number}", number * 1250) for number in (1, 2, 3)]


@task(retries=2, retry_delay_seconds=1, log_prints=True)
def enrich(orders: list[Order], fails: int, pause_ms: int) -> list[Order]:
    """Looks up what the orders lack, at a service that is sometimes away.

    Its two retries are used up within this task run: the flow does not notice them.
    """
    attempt = context().attempt
    print(f"enrich: attempt {attempt}")
    pause(pause_ms)
    if attempt <= fails:
        raise Failure("http.503", f"the service is away, attempt {attempt}")
    return [replace(it, country="NL") for it in orders]


@task(log_prints=True)
def load(customer: str, orders: list[Order], outcome: Outcome, pause_ms: int) -> Receipt:
    """Writes the orders to where they belong. Without retries: a failure here fails the flow."""
    # Counted over the whole life of the task run, so that it goes on after a manual retry.
    load_attempt = context().attempt
    print(f"load: attempt {load_attempt}")
    pause(pause_ms)
    if outcome == "fail" or (outcome == "fail-once" and load_attempt == 1):
        raise Failure("load.refused", "the warehouse refused the orders")
    return Receipt(customer, len(orders), sum(it.cents for it in orders), load_attempt)


load_orders = load


@flow(name="orders", log_prints=True)
def orders(
    customer: str = "acme",
    enrich_fails: Annotated[int, "How many attempts of `enrich` fail before one succeeds; above 2 all of them do."] = 0,
    load: Outcome = "ok",
    pause_ms: Annotated[int, "How long each task takes."] = 0,
) -> Receipt:
    """Takes a customer's orders from where they are to where they belong."""
    print(f"orders of {customer}: attempt {context().attempt}")
    found = extract(customer, pause_ms)
    enriched = enrich(found, enrich_fails, pause_ms)
    return load_orders(customer, enriched, load, pause_ms)
