"""What a flow or a task is told, and what it tells."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from . import _host
from ._failure import Failure, raised, said


@dataclass(frozen=True)
class Run:
    """Who is running, and which try it is."""

    flow_run_id: str
    flow: str
    deployment: str | None
    task: str | None
    task_run_id: str | None
    #: Counted from 1 over the whole life of the run.
    attempt: int
    #: How many attempts the policy still allows in this round.
    retries_left: int
    #: The same for every attempt of this task run: send it outward, so that a repeated call is recognised.
    idempotency_key: str
    scheduled_for: datetime


def context() -> Run:
    """Returns who is running. Outside a component it is the first attempt of nobody."""
    if _host.running is None:
        nobody = "local"
        return Run(nobody, nobody, None, None, None, 1, 0, nobody, datetime.now(timezone.utc))
    run = _host.imported("context").current()
    at = datetime.fromtimestamp(run.scheduled_for / 1000, timezone.utc)
    told = (run.flow_run_id, run.flow, run.deployment, run.task, run.task_run_id)
    return Run(*told, run.attempt, run.retries_left, run.idempotency_key, at)


def sleep(duration: float | timedelta) -> None:
    """Waits. In a flow it is a durable wait: a long one holds no sandbox, and outlives the host's process."""
    from ._futures import sleep_beside

    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 0:
        raise ValueError(f"nobody can sleep {seconds} seconds")
    if _host.running is None:
        time.sleep(seconds)
    else:
        sleep_beside(seconds, lambda it: _host.imported("timers").sleep(round(it * 1000)))


def secret(name: str) -> str:
    """Returns a secret that the flow or the task asks for (`secrets=[name]`) and the deployment grants.

    Outside a component it is what the environment has under the name in capitals, ``SHOP_TOKEN`` for ``shop-token``.
    """
    return _value("secret", name)


def variable(name: str) -> Any:
    """Returns a variable that the flow or the task asks for (`variables=[name]`) and the deployment grants."""
    return json.loads(_value("variable", name))


def _value(kind: str, name: str) -> str:
    if _host.running is None:
        word = name.upper().replace("-", "_")
        if word not in os.environ:
            raise Failure.permanent("sandbox.denied", f"there is no {word} in the environment")
        return os.environ[word]
    try:
        return getattr(_host.imported("values"), kind)(name)
    except _host.err() as error:
        raise raised(error.value) from None


_LEVELS = ((logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"), (logging.DEBUG, "DEBUG"))


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if _host.running is None:
            return  # Plain Python: what the program has set up shows it.
        log = _host.imported("log")
        level = next((name for number, name in _LEVELS if record.levelno >= number), "TRACE")
        try:
            log.write(log.Level[level], said(self.format(record)), "")
        except Exception:
            self.handleError(record)


def get_run_logger() -> logging.Logger:
    """Returns the logger of the run: its lines become log lines, with their level.

    It may be taken while the module is loaded; whoever runs when something is logged is who it is of.
    """
    logger = logging.getLogger("retake.run")
    if not logger.handlers:
        logger.addHandler(_Handler())
    return logger


@contextlib.contextmanager
def logging_to_host() -> Iterator[None]:
    """Lets the host, and nobody else, have what is logged."""
    logger = logging.getLogger("retake.run")
    before = logger.level, logger.propagate
    logger.setLevel(1)
    logger.propagate = False
    try:
        yield
    finally:
        logger.level, logger.propagate = before
        logger.setLevel(before[0])
