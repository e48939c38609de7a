"""What `prefect.flows` has."""

from ._declaration import Flow, flow

__all__ = ["Flow", "flow"]
