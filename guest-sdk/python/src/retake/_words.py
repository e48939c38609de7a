"""The options of flows and tasks, and what to write instead of those that there are not."""

from __future__ import annotations

import difflib
from typing import Any

# The rest of a policy, by the words of `policy`.
_POLICY = {
    "retry_jitter_factor": "jitter",
    "retry_delay_max_seconds": "delay_max",
    "give_up_after_seconds": "give_up_after",
    "fail_on": "fail_on",
    "park_on": "park_on",
    "when_exhausted": "when_exhausted",
}
_BOTH = [
    "name", "description", "retries", "retry_delay_seconds", "timeout_seconds", "cpu_seconds", "memory", "log_prints",
    "persist_result", "secrets", "variables",
]  # fmt: skip
_KNOWN = {
    "flow": [*_BOTH, *_POLICY],
    "task": [*_BOTH, "tags", "version", "retry_condition_fn", *_POLICY],
    "call": ["key", "run_name", "retries", "retry_delay_seconds", *_POLICY],
}
_OF_TASKS_ALONE = {
    "tags": "its tasks have `tags`, and its deployment: `retake deploy … --tag NAME`",
    "version": "a component has one, in pyproject.toml, and its tasks have `version`",
    "retry_condition_fn": "`fail_on` names the codes and exceptions that are final; tasks have `retry_condition_fn`",
}
_KEY = "results are kept for the run, and found again by the arguments; `with_options(key=…)` at the call says otherwise"
_NOTIFY = "`retake notify add` tells of what becomes of runs; in the flow, catch what the task raises"
_STORED = "the host keeps results, as JSON; `persist_result=False` keeps none"
_RUN_NAME = "`with_options(run_name=…)` names a call where it is made"
_CHECKED = "parameters are always checked, so leave it out"
# Prefect's words, and those that people guess.
_INSTEAD = {
    "task_run_name": _RUN_NAME,
    "flow_run_name": _RUN_NAME,
    "cache_key_fn": _KEY,
    "cache_policy": _KEY,
    "cache_expiration": f"kept results do not grow old within a run; {_KEY}",
    "refresh_cache": "`retake retry RUN --rerun TASK` forgets results; `persist_result=False` keeps none",
    "cache_result_in_memory": _STORED,
    "result_storage": _STORED,
    "result_serializer": _STORED,
    "result_storage_key": _STORED,
    "on_failure": _NOTIFY,
    "on_completion": _NOTIFY,
    "on_cancellation": _NOTIFY,
    "on_crashed": _NOTIFY,
    "on_running": _NOTIFY,
    "on_rollback": _NOTIFY,
    "on_commit": _NOTIFY,
    "validate_parameters": _CHECKED,
    "task_runner": "`submit` and `map` run tasks side by side; limits are set for their `tags`: `retake task-tags limit TAG N`",
    "viz_return_value": "`retake retry RUN --dry-run` shows what would run, so leave it out",
    "asset_deps": "there are no assets, so leave it out",
    "timeout": "write `timeout_seconds`",
    "retry_delay": "write `retry_delay_seconds`",
    "delay": "write `retry_delay_seconds`",
    "retry_backoff": "write `retry_delay_seconds=exponential_backoff(10)`",
    "jitter": "write `retry_jitter_factor`, from 0 to 1",
    "retry_jitter": "write `retry_jitter_factor`, from 0 to 1",
    "max_retries": "write `retries`",
    "attempts": "write `retries`: the attempts after the first",
    "cpu": "write `cpu_seconds`",
    "memory_limit": "write `memory`",
    "retry_on": "`fail_on` names what is final; all else is retried",
    "schedule": "a deployment has schedules: `retake deploy … --cron '0 6 * * *'`",
    "cron": "a deployment has schedules: `retake deploy … --cron '0 6 * * *'`",
    "parameters": "a deployment has parameters: `retake deploy … -p name=value`",
    "concurrency_limit": "`retake deploy … --concurrency N` bounds runs, `retake task-tags limit TAG N` tasks with a tag",
    "priority": "there are none, so leave it out",
}

# What people import from Prefect, beside its flows and tasks, by the last part of its name.
_NAMES = {
    "tags": "tasks have `tags`, and deployments: `retake deploy … --tag NAME`",
    "allow_failure": "`future.result(raise_on_failure=False)` returns the failure",
    "quote": "arguments are not looked into, but for futures",
    "serve": "`retake dev` and `retake server` serve flows",
    "deploy": "`retake deploy` deploys flows",
    "get_client": "the command line and the HTTP API are the ways in",
    "pause_flow_run": '`park_on` and `when_exhausted="park"` leave a failure to a person; `retake pause RUN` pauses a run',
    "suspend_flow_run": "`sleep` is durable; `retake pause RUN` pauses a run",
    "resume_flow_run": "`retake resume RUN` resumes one",
    "transaction": "the result of each task is kept as soon as it is there",
    "Parameter": "the parameters of the flow's function are those of a run",
    "task_runners": "`submit` and `map` run tasks side by side; `retake task-tags limit TAG N` bounds them",
    "ThreadPoolTaskRunner": "`submit` and `map` run tasks side by side; `retake task-tags limit TAG N` bounds them",
    "ConcurrentTaskRunner": "`submit` and `map` run tasks side by side; `retake task-tags limit TAG N` bounds them",
    "cache_policies": _KEY,
    "states": "`from retake.futures import State`; a flow fails by raising",
    "blocks": "`secret(name)` and `variable(name)` are what deployments grant",
    "variables": "`variable(name)` returns one that the deployment grants",
    "artifacts": "what is to be kept is returned",
    "concurrency": "`retake task-tags limit TAG N` bounds tasks with a tag",
    "deployments": "`retake deploy` deploys flows; a child flow is called like a function",
    "context": "`context()` says who runs",
    "exceptions": "`except Failure as error` has `error.code`; what a task raised is caught by its own class",
}


def of_prefect(name: str) -> str | None:
    """Returns what to write instead of a name of Prefect's."""
    last = name.rpartition(".")[2]
    return f"retake has no `{last}`: {_NAMES[last]}" if last in _NAMES else None


def words(kind: str, more: dict[str, Any]) -> dict[str, Any]:
    """Returns the rest of a policy, by the words of `policy`. `kind` is what is declared: a flow, a task, or a call."""
    for name in more:
        if name not in _POLICY:
            raise TypeError(_refusal(kind, name))
    return {_POLICY[name]: it for name, it in more.items()}


def _refusal(kind: str, name: str) -> str:
    if kind == "flow" and name in _OF_TASKS_ALONE:
        return f"a flow has no option `{name}`: {_OF_TASKS_ALONE[name]}"
    if kind == "call":
        if name in ("name", "task_run_name", "flow_run_name"):
            return f"a call has no option `{name}`: write `run_name`"
        if name in _KNOWN["task"]:
            return f"a call has no option `{name}`: it is said where the task or the flow is declared, for all calls"
    if name in _INSTEAD:
        return f"a {kind} has no option `{name}`: {_INSTEAD[name]}"
    close = difflib.get_close_matches(name, _KNOWN[kind], 1)
    hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(_KNOWN[kind])}"
    return f"a {kind} has no option `{name}`; {hint}"
