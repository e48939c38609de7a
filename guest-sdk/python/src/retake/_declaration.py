"""`@flow` and `@task`."""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import json
import traceback
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar, overload

from . import _host, _schema
from ._failure import Failure
from ._futures import Future, FutureList, resolved, unmapped
from ._policy import Policy, milliseconds, policy

P = ParamSpec("P")
R = TypeVar("R")

# What a component is made of, by name, in the order of their declaration.
FLOWS: dict[str, Flow[Any, Any]] = {}
TASKS: dict[str, Task[Any, Any]] = {}

_LONGEST_FLOW = 366 * 24 * 3600
_MOST_CPU = 300
_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass
class Options:
    """What a flow or a task asks for beside its policy."""

    timeout: int | None = None
    cpu: int | None = None
    memory: int | None = None
    log_prints: bool = False
    persist_result: bool | None = None
    secrets: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)


class _Function(Generic[P, R]):
    """A function with a name and a policy."""

    def __init__(self, fn: Callable[P, R], name: str | None, description: str | None, how: Policy, options: Options):
        if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError(f"`{fn.__name__}` is asynchronous, which a sandbox is not: write `def`, and `submit` what runs side by side")
        self.fn = fn
        self.name = name or fn.__name__.replace("_", "-")
        self.description = description if description is not None else (inspect.getdoc(fn) or "")
        self.policy = how
        self.options = options
        self.signature = inspect.signature(fn)
        for it in self.signature.parameters.values():
            if it.kind in (it.VAR_POSITIONAL, it.VAR_KEYWORD, it.POSITIONAL_ONLY):
                raise TypeError(f"`{fn.__name__}`: `{it}` cannot be given by name, and so it has no schema")
        self._asked: dict[str, Any] = {}
        functools.update_wrapper(self, fn)

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """The hints of its parameters, and of what it returns."""
        return typing.get_type_hints(self.fn, include_extras=True)

    def schema(self) -> dict[str, Any]:
        """The schema of its parameters."""
        return _schema.parameters(self.signature, self.hints)

    def returned(self) -> dict[str, Any] | None:
        """The schema of what it returns, if it says."""
        return _schema.returned(self.hints.get("return", Any))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if _host.is_flow():
            return self.submit(*args, **kwargs).result()
        return self.fn(*args, **kwargs)

    def submit(self, *args: Any, wait_for: Iterable[Future[Any]] = (), **kwargs: Any) -> Future[R]:
        """Asks for it and returns at once. Futures among the arguments are waited for, and their results given."""
        for it in wait_for:
            it.wait()
        args, kwargs = tuple(resolved(it) for it in args), {name: resolved(it) for name, it in kwargs.items()}
        if not _host.is_flow():
            try:
                return Future.ended(self.name, self.fn(*args, **kwargs), None)
            except Exception as error:  # The future holds it.
                return Future.ended(self.name, None, error)
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = json.dumps(_schema.encode(bound.arguments), ensure_ascii=False, allow_nan=False)
        tasks = _host.imported("tasks")
        options = tasks.Options(self._asked.get("key"), self._asked.get("run_name"), self._asked_policy())
        return Future(self.name, self.hints.get("return", Any), self._ask(tasks, given, options))

    def map(self, *args: Any, **kwargs: Any) -> FutureList[R]:
        """Asks for it once for each of what iterables hold, side by side. What is no list, and what `unmapped` holds, is
        given to each."""
        named = self.signature.bind(*args, **kwargs).arguments
        lists = {name: list(it) for name, it in named.items() if _is_mapped(it)}
        lengths = {len(it) for it in lists.values()}
        if not lists:
            raise ValueError(f"`{self.name}.map` is given nothing to go over")
        if len(lengths) > 1:
            sizes = ", ".join(f"`{name}` has {len(it)}" for name, it in lists.items())
            raise ValueError(f"`{self.name}.map` is given lists that are not equally long: {sizes}")
        same = {name: it.value if isinstance(it, unmapped) else it for name, it in named.items() if name not in lists}
        each = range(lengths.pop())
        return FutureList(self.submit(**same, **{name: it[n] for name, it in lists.items()}) for n in each)

    def with_options(self, *, key: str | None = None, run_name: str | None = None, **policy_: Any) -> typing.Self:
        """Returns the same, asked for otherwise: under a key that stands for its arguments, under another name for
        people, or with `retries`, `retry_delay_seconds` and the rest of a policy."""
        other = copy.copy(self)
        other._asked = dict(self._asked)
        other._asked |= {name: it for name, it in (("key", key), ("run_name", run_name)) if it is not None}
        if policy_:
            other._asked["policy"] = policy(policy_.pop("retries", None), policy_.pop("retry_delay_seconds", None), **_words(policy_))
        return other

    def _asked_policy(self) -> Any:
        from ._wire import retry_policy

        asked = self._asked.get("policy")
        return asked if asked is None or _host.testing is not None else retry_policy(asked)

    def _ask(self, tasks: Any, given: str, options: Any) -> Any:
        raise NotImplementedError


def _is_mapped(value: Any) -> bool:
    return not isinstance(value, (unmapped, str, bytes, dict, Future)) and isinstance(value, Iterable)


class Flow(_Function[P, R]):
    """A function that calls tasks."""

    def _ask(self, tasks: Any, given: str, options: Any) -> Any:
        return tasks.submit_flow(self.name, given, options)


class Task(_Function[P, R]):
    """A function that may fail, in a sandbox of its own."""

    version: str = ""
    tags: list[str]
    condition: Callable[..., bool] | None = None

    def _ask(self, tasks: Any, given: str, options: Any) -> Any:
        return tasks.submit(self.name, given, options)

    def advised(self, failure: Failure, attempt: int) -> Failure:
        """Asks the author whether a failure is worth another attempt."""
        if self.condition is None:
            return failure
        try:
            is_worth_it = self.condition(self, _TaskRun(self.name, attempt), _Failed(failure))
        except Exception:
            # As Prefect does: whoever does not know does not try again.
            traceback.print_exc()
            is_worth_it = False
        if not is_worth_it:
            failure.retry = "never"
        return failure


@dataclass(frozen=True)
class _TaskRun:
    """What `retry_condition_fn` is told of a task run."""

    name: str
    run_count: int


class _Failed:
    """What `retry_condition_fn` is told of how it ended."""

    name = type = "Failed"

    def __init__(self, failure: Failure) -> None:
        self._failure = failure
        self.message = failure.message

    def result(self, raise_on_failure: bool = True) -> Any:
        """Raises what the task raised, or returns it."""
        error = self._failure.__cause__ or self._failure
        if raise_on_failure:
            raise error
        return error

    def is_failed(self) -> bool:
        """It has."""
        return True


def _size(memory: int | str | None) -> int | None:
    """Reads `64MiB`, or a number of bytes."""
    if not isinstance(memory, str):
        return memory
    for unit, factor in _SIZES.items():
        if memory.endswith(unit) and memory.removesuffix(unit).strip().isdigit():
            return int(memory.removesuffix(unit)) * factor
    raise ValueError(f'`memory` is a number of bytes, or written as "64MiB", not {memory!r}')


def _words(more: dict[str, Any]) -> dict[str, Any]:
    """Returns the rest of a policy, by the words of `policy`."""
    names = {
        "retry_jitter_factor": "jitter",
        "retry_delay_max_seconds": "delay_max",
        "give_up_after_seconds": "give_up_after",
        "fail_on": "fail_on",
        "park_on": "park_on",
        "when_exhausted": "when_exhausted",
    }
    for name in more:
        if name not in names:
            plain = [it.name for it in inspect.signature(task).parameters.values() if it.kind is it.KEYWORD_ONLY]
            known = [*plain, *names]
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
            raise TypeError(f"there is no option `{name}`; {hint}")
    return {names[name]: it for name, it in more.items()}


def _options(
    timeout_seconds: float | None,
    cpu_seconds: float | None,
    memory: int | str | None,
    log_prints: bool | None,
    persist_result: bool | None,
    secrets: Iterable[str],
    variables: Iterable[str],
) -> Options:
    timeout = None if timeout_seconds is None else milliseconds("timeout_seconds", timeout_seconds, _LONGEST_FLOW)
    cpu = None if cpu_seconds is None else milliseconds("cpu_seconds", cpu_seconds, _MOST_CPU)
    return Options(timeout, cpu, _size(memory), bool(log_prints), persist_result, list(secrets), list(variables))


def _place(fn: Any) -> tuple[Any, ...]:
    code = getattr(fn, "__code__", None)
    return (fn.__module__, fn.__qualname__, getattr(code, "co_firstlineno", 0))


def _known(kind: str, all_of_them: dict[str, Any], it: Any) -> Any:
    other = all_of_them.get(it.name)
    # A module that is loaded a second time declares the same ones again.
    if other is not None and _place(other.fn) != _place(it.fn):
        raise ValueError(f"two {kind}s are called `{it.name}`: give one another `name`")
    all_of_them[it.name] = it
    return it


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    description: str | None = None,
    retries: int | None = None,
    retry_delay_seconds: Any = None,
    timeout_seconds: float | None = None,
    cpu_seconds: float | None = None,
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    memory: int | str | None = None,
    secrets: Iterable[str] = (),
    variables: Iterable[str] = (),
    **more: Any,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(
    fn: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    retries: int | None = None,
    retry_delay_seconds: Any = None,
    timeout_seconds: float | None = None,
    cpu_seconds: float | None = None,
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    memory: int | str | None = None,
    secrets: Iterable[str] = (),
    variables: Iterable[str] = (),
    **more: Any,
) -> Any:
    """Makes a flow of a function.

    Its name is the function's, with `-` for `_`, and its description what is written below it. `retries` are attempts
    after the first; `retry_delay_seconds` is a number, a list of them, or `exponential_backoff(10)`. Further words of a
    policy: `retry_jitter_factor` (0 to 1), `retry_delay_max_seconds`, `give_up_after_seconds`, `fail_on` and `park_on`
    (codes of failures, or exceptions), and `when_exhausted` ("fail" or "park"). An attempt may use 10 seconds of
    processor time and 64 MiB, unless `cpu_seconds` (300 at most) and `memory` say more.
    """
    if fn is None:
        how = policy(retries, retry_delay_seconds, **_words(more))
        options = _options(timeout_seconds, cpu_seconds, memory, log_prints, persist_result, secrets, variables)
        return lambda fn: _known("flow", FLOWS, Flow(fn, name, description, how, options))
    return _known("flow", FLOWS, Flow(fn, None, None, policy(None, None), Options()))


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    version: str | None = None,
    retries: int | None = None,
    retry_delay_seconds: Any = None,
    retry_condition_fn: Callable[..., bool] | None = None,
    timeout_seconds: float | None = None,
    cpu_seconds: float | None = None,
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    memory: int | str | None = None,
    secrets: Iterable[str] = (),
    variables: Iterable[str] = (),
    **more: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(
    fn: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    version: str | None = None,
    retries: int | None = None,
    retry_delay_seconds: Any = None,
    retry_condition_fn: Callable[..., bool] | None = None,
    timeout_seconds: float | None = None,
    cpu_seconds: float | None = None,
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    memory: int | str | None = None,
    secrets: Iterable[str] = (),
    variables: Iterable[str] = (),
    **more: Any,
) -> Any:
    """Makes a task of a function: the same words as `flow`, and

    `tags`, which limits are set for; `version`, raised when kept results must not be used by new code; and
    `retry_condition_fn(task, task_run, state)`, which says whether a failure is worth another attempt.
    """

    how = policy(retries, retry_delay_seconds, **_words(more))
    options = _options(timeout_seconds, cpu_seconds, memory, log_prints, persist_result, secrets, variables)

    def made(fn: Any) -> Any:
        it = Task(fn, name, description, how, options)
        it.version, it.tags, it.condition = version or "", list(tags), retry_condition_fn
        return _known("task", TASKS, it)

    return made if fn is None else made(fn)
