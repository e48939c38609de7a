"""What `prefect.tasks` has: a flow is moved by changing the name of the package it imports from."""

from ._declaration import Task, task
from ._policy import exponential_backoff

__all__ = ["Task", "exponential_backoff", "task"]
