"""Tasks side by side, a child flow, and exceptions that cross a sandbox's border."""

from retake import as_completed, flow, get_run_logger, task, unmapped
from retake.tasks import exponential_backoff


@task(retries=3, retry_delay_seconds=exponential_backoff(1), tags=["even"])
def halve(number: int, by: int) -> int:
    """Halves even numbers."""
    if number % by:
        raise ValueError(f"{number} is odd")
    return number // by


@task
def add(numbers: list[int]) -> int:
    """Adds them up."""
    return sum(numbers)


@flow
def child(numbers: list[int]) -> int:
    """A run of its own."""
    return add(numbers)


@flow(name="fan-out")
def fan_out(numbers: list[int]) -> dict[str, int]:
    """Halves what can be halved, and counts what cannot."""
    quick = halve.with_options(retries=0)
    futures = quick.map(numbers, by=unmapped(2))
    odd, halves = 0, []
    for future in as_completed(futures):
        try:
            halves.append(future.result())
        except ValueError as error:
            get_run_logger().warning("left out: %s", error)
            odd += 1
    return {"odd": odd, "sum": child(sorted(halves))}
