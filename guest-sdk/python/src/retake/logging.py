"""What `prefect.logging` has."""

from ._context import get_run_logger

__all__ = ["get_run_logger"]
