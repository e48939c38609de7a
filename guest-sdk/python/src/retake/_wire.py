"""From what was declared to the records of the contract."""

from __future__ import annotations

import json
from typing import Any

from . import _host
from ._declaration import Flow, Options, Task
from ._failure import Failure, told
from ._policy import Policy


def retry_policy(of: Policy) -> Any:
    """Returns a policy as the contract has it."""
    types = _host.imported("types")
    if isinstance(of.delay, tuple):
        initial, factor = of.delay
        delay = types.Delay_Exponential(types.Exponential(initial, factor))
    elif isinstance(of.delay, list):
        delay = types.Delay_Listed(of.delay)
    else:
        delay = types.Delay_Fixed(of.delay)
    actions = {"fail": types.Action_Fail, "park": types.Action_Park}
    rules = [types.Rule(codes, actions[action]()) for codes, action in of.rules]
    exhausted = types.WhenExhausted[of.when_exhausted.upper()]
    return types.RetryPolicy(of.retries, delay, of.delay_max, of.jitter, of.give_up_after, rules, exhausted)


def _limits(of: Options) -> Any:
    return _host.imported("types").Limits(of.memory, of.cpu, of.timeout)


def _capabilities(of: Options) -> list[Any]:
    types = _host.imported("types")
    return [types.Capability_Secret(it) for it in of.secrets] + [types.Capability_Variable(it) for it in of.variables]


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def flow_info(it: Flow[Any, Any]) -> Any:
    """Returns what is told of a flow."""
    return _host.imported("types").FlowInfo(
        name=it.name,
        description=it.description,
        parameters=_json(it.schema()),
        returns=_json(it.returned()),
        retry=retry_policy(it.policy),
        limits=_limits(it.options),
        capabilities=_capabilities(it.options),
        log_prints=it.options.log_prints,
        persist_result=it.options.persist_result,
        extensions=None,
    )


def task_info(it: Task[Any, Any]) -> Any:
    """Returns what is told of a task."""
    return _host.imported("types").TaskInfo(
        name=it.name,
        description=it.description,
        version=it.version,
        input=_json(it.schema()),
        returns=_json(it.returned()),
        retry=retry_policy(it.policy),
        limits=_limits(it.options),
        capabilities=_capabilities(it.options),
        log_prints=it.options.log_prints,
        persist_result=it.options.persist_result,
        tags=it.tags,
        extensions=None,
    )


def failure(of: Failure) -> Any:
    """Returns a failure as the contract has it."""
    types = _host.imported("types")
    code, message, details = told(of)
    match of.retry:
        case "by-policy":
            advice = types.RetryAdvice_ByPolicy()
        case "never":
            advice = types.RetryAdvice_Never()
        case seconds:
            advice = types.RetryAdvice_After(round(float(seconds) * 1000))
    return types.Failure(code, message, advice, details)
