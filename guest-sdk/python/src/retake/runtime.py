"""What `prefect.runtime` has: who is running."""

from __future__ import annotations

from datetime import datetime

from ._context import context


class _FlowRun:
    @property
    def id(self) -> str:
        """The run's id."""
        return context().flow_run_id

    @property
    def flow_name(self) -> str:
        """The flow's name."""
        return context().flow

    @property
    def run_count(self) -> int:
        """Which attempt, from 1."""
        return context().attempt

    @property
    def scheduled_start_time(self) -> datetime:
        """When the run was meant to start."""
        return context().scheduled_for


class _TaskRun:
    @property
    def id(self) -> str | None:
        """The task run's id; None in a flow."""
        return context().task_run_id

    @property
    def task_name(self) -> str | None:
        """The task's name; None in a flow."""
        return context().task

    @property
    def run_count(self) -> int:
        """Which attempt, from 1."""
        return context().attempt


flow_run = _FlowRun()
task_run = _TaskRun()
