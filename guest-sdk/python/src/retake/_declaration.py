"""`@flow` and `@task`."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import traceback
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar, overload

from . import _host, _schema
from ._failure import Failure, said, unsupported
from ._futures import Future, FutureList, State, futures_in, resolved, unmapped
from ._plain import pointer
from ._policy import Policy, milliseconds, policy
from ._words import words

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

    kind = "function"

    def __init__(self, fn: Callable[P, R], name: str | None, description: str | None, how: Policy, options: Options):
        self._of_class = isinstance(fn, classmethod)
        if isinstance(fn, (classmethod, staticmethod)):
            fn = fn.__func__
        self.fn = _function(self.kind, fn)
        self.name = _named(self.kind, fn, name)
        self.description = description if description is not None else (inspect.getdoc(fn) or "")
        self.policy = how
        self.options = options
        self.signature = inspect.signature(fn)
        first = next(iter(self.signature.parameters.values()), None)
        self._is_method = (
            first is not None and _is_in_class(fn) and first.annotation is first.empty and first.name in ("self", "cls")
        )
        self._of_class = self._of_class or (self._is_method and first is not None and first.name == "cls")
        if self._of_class:
            self.signature = self.signature.replace(parameters=list(self.signature.parameters.values())[1:])
        for it in self.signature.parameters.values():
            _check_parameter(self.kind, fn, it)
        self._bound: tuple[Any, ...] = ()
        self._asked: dict[str, Any] = {}
        functools.update_wrapper(self, fn)

    def __get__(self, instance: Any, owner: Any = None) -> typing.Self:
        """Returns it as a method of an object, which is stored with its arguments."""
        if not self._is_method or self._of_class or instance is None:
            return self
        bound = copy.copy(self)
        bound._bound = (instance,)
        return bound

    def __getattr__(self, name: str) -> Any:
        instead = {
            "serve": "`retake dev` or `retake server` serves it",
            "deploy": "`retake deploy` deploys it",
            "to_deployment": "`retake deploy` deploys it",
            "from_source": "`retake build` takes the project's directory",
            "visualize": "`retake retry RUN --dry-run` shows what would run",
            "delay": "write `submit`",
            "apply_async": "write `submit`",
            "starmap": "write `map` with a list for each parameter",
        }
        words = f"; {instead[name]}" if name in instead else ""
        raise AttributeError(f"a {self.kind} has no `{name}`{words}", name=name, obj=self)

    @property
    def what(self) -> str:
        """What it is, as messages say it."""
        return f"{self.kind} `{self.name}`"

    @functools.cached_property
    def kinds(self) -> _schema.Signature:
        """What it takes and returns. Raises `Undeclarable`."""
        own: dict[str, Any] = {}
        if self._is_method and not self._of_class:
            own["self"] = self._owner()
        return _schema.Signature(self.what, self.fn, list(self.signature.parameters.values()), own)

    def _owner(self) -> Any:
        found: Any = sys.modules[self.fn.__module__]
        for part in self.fn.__qualname__.split(".")[:-1]:
            found = getattr(found, part)
        return found

    def schema(self) -> dict[str, Any]:
        """The schema of its parameters."""
        return self.kinds.schema

    def returned(self) -> dict[str, Any] | None:
        """The schema of what it returns, if it says."""
        return self.kinds.returned

    def call(self, arguments: dict[str, Any]) -> R:
        """Runs the function itself."""
        return self._plainly((), arguments)

    def _plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        of = (self._owner(),) if self._of_class else ()
        return self.fn(*of, *args, **kwargs)

    def _given(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._of_class and len(args) > 0 and isinstance(args[0], type) and args[0] is self._owner():
            args = args[1:]  # What `classmethod` has put there.
        return (*self._bound, *args)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        waits = "wait_for" in kwargs or "return_state" in kwargs
        if _host.is_asked() or waits:
            future: Any = self.submit(*args, **kwargs)
            return future if isinstance(future, State) else future.result()
        return self._plainly(self._given(args), kwargs)

    def submit(self, *args: Any, wait_for: Any = (), return_state: bool = False, **kwargs: Any) -> Future[R]:
        """Asks for it and returns at once. Futures among the arguments are waited for, and their results given: the call
        is asked for when they are there, and not at all when one of them has failed. `wait_for` has further ones."""
        args = self._given(args)
        upstream = futures_in([args, kwargs]) + futures_in(
            wait_for if isinstance(wait_for, (Future, dict)) else list(wait_for or ())
        )
        future = self._submit(args, kwargs, upstream)
        if not return_state:
            return future
        future.wait()
        return future.state  # type: ignore[return-value]

    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any], upstream: list[Future[Any]]) -> Future[R]:
        if not _host.is_asked():
            return self._submit_plainly(args, kwargs, upstream)
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        ask = functools.partial(self._ask_host, bound.arguments)
        if any(not it._ended for it in upstream):
            return Future.after(self.name, self.kinds.returns, upstream, ask)
        failed = next((it._failure for it in upstream if it._failure is not None), None)
        return Future.ended(self.name, None, failed) if failed else Future(self.name, self.kinds.returns, ask())

    def _submit_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any], upstream: list[Future[Any]]) -> Future[R]:
        try:
            for it in upstream:
                it.result()
            value = self._plainly(resolved(args), resolved(kwargs))
        except Exception as error:  # The future holds it.
            return Future.ended(self.name, None, error)
        return Future.ended(self.name, value, None)

    def _ask_host(self, arguments: dict[str, Any]) -> Any:
        try:
            given = self.kinds.write(resolved(arguments))
        except _schema.Unstorable as error:
            raise refused("input.invalid", self, "its input", error) from None
        except RecursionError:
            raise Failure.permanent("input.invalid", f"{self.what}: its input is nested too deeply to be stored") from None
        tasks = _host.imported("tasks")
        options = tasks.Options(self._asked.get("key"), self._asked.get("run_name"), self._asked_policy())
        return self._ask(tasks, given, options)

    def map(self, *args: Any, wait_for: Any = (), return_state: bool = False, **kwargs: Any) -> FutureList[R]:
        """Asks for it once for each of what iterables hold, side by side. What is no list, and what `unmapped` holds, is
        given to each."""
        named = dict(self.signature.bind(*self._given(args), **kwargs).arguments)
        of_self = named.pop("self", None) if self._bound else None
        for name, it in named.items():
            # A future of a list is gone over, too; one of anything else is given to each.
            if isinstance(it, Future):
                named[name] = it.result()
        lists = {name: list(it) for name, it in named.items() if _is_mapped(it)}
        lengths = {len(it) for it in lists.values()}
        if not lists:
            raise ValueError(f"`{self.name}.map` is given nothing to go over")
        if len(lengths) > 1:
            sizes = ", ".join(f"`{name}` has {len(it)}" for name, it in lists.items())
            raise ValueError(f"`{self.name}.map` is given lists that are not equally long: {sizes}")
        same = {name: it.value if isinstance(it, unmapped) else it for name, it in named.items() if name not in lists}
        if of_self is not None and not self._bound:
            same["self"] = of_self
        each = range(lengths.pop())
        more = {"wait_for": wait_for, "return_state": return_state}
        return FutureList(self.submit(**same, **{name: it[n] for name, it in lists.items()}, **more) for n in each)

    def with_options(self, *, key: str | None = None, run_name: str | None = None, **policy_: Any) -> typing.Self:
        """Returns the same, asked for otherwise: under a key that stands for its arguments, under another name for
        people, or with `retries`, `retry_delay_seconds` and the rest of a policy."""
        other = copy.copy(self)
        other._asked = dict(self._asked)
        other._asked |= {name: it for name, it in (("key", key), ("run_name", run_name)) if it is not None}
        if policy_:
            retries, delay = policy_.pop("retries", None), policy_.pop("retry_delay_seconds", None)
            other._asked["policy"] = policy(retries, delay, **words("call", policy_))
        return other

    def _asked_policy(self) -> Any:
        from ._wire import retry_policy

        asked = self._asked.get("policy")
        return asked if asked is None or _host.testing is not None else retry_policy(asked)

    def _ask(self, tasks: Any, given: str, options: Any) -> Any:
        raise NotImplementedError


def refused(code: str, it: _Function[Any, Any], what: str, error: _schema.Unstorable | _schema.Misfit) -> Failure:
    """Returns the failure of a value that cannot be stored, or does not fit."""
    place = f" at `{pointer(error.at)}`" if error.at else ""
    return Failure.permanent(code, said(f"{it.what}: {what}{place} {error.what}"))


def _function(kind: str, fn: Any) -> Any:
    """Returns a function, or says why it can be none that is run in a sandbox of its own."""
    if isinstance(fn, _Function):
        raise TypeError(f"`{fn.name}` is a {fn.kind} already: what is both is written as two functions")
    if not callable(fn):
        raise TypeError(f"a {kind} is made of a function, not of {fn!r}: write `@{kind}`, or `@{kind}(…)` with names")
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"`{fn.__name__}` is asynchronous, which a sandbox is not: write `def`, and `submit` what runs side by side"
        )
    if not hasattr(fn, "__code__") or not hasattr(fn, "__qualname__"):
        raise TypeError(f"a {kind} is made of a function that is written with `def`, not of {fn!r}")
    if _host.running is not None:
        message = (
            f"`{fn.__name__}` is declared as a {kind} while `{_host.names[-1]}` runs: it runs in a sandbox of its own, which "
            "does not know it; declare it at the top of the module, and give it what it needs"
        )
        raise unsupported(message, TypeError)
    return fn


def _named(kind: str, fn: Any, name: str | None) -> str:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"the name of a {kind} is a text, not {name!r}")
    if name is None and fn.__name__ == "<lambda>":
        raise TypeError(f'a lambda has no name: write `{kind}(name="…")(lambda …)`, or a function')
    return name or fn.__name__.replace("_", "-")


def _is_in_class(fn: Any) -> bool:
    around = fn.__qualname__.rpartition(".")[0]
    return bool(around) and not around.endswith("<locals>")


def _check_parameter(kind: str, fn: Any, it: inspect.Parameter) -> None:
    if it.kind in (it.VAR_POSITIONAL, it.VAR_KEYWORD):
        one = "list" if it.kind is it.VAR_POSITIONAL else "dict"
        raise TypeError(f"`{fn.__name__}`: `{it}` cannot be given by name, and so it has no schema: write one parameter, a {one}")
    if it.kind is it.POSITIONAL_ONLY:
        raise TypeError(f"`{fn.__name__}`: `{it}` cannot be given by name, and so it has no schema: leave out the `/`")
    if it.name in ("wait_for", "return_state"):
        raise TypeError(f"`{fn.__name__}`: a parameter of a {kind} cannot be called `{it.name}`: that says how it is called")


def _is_mapped(value: Any) -> bool:
    return not isinstance(value, (unmapped, str, bytes, dict, Future)) and isinstance(value, Iterable)


class Flow(_Function[P, R]):
    """A function that calls tasks."""

    kind = "flow"

    def _ask(self, tasks: Any, given: str, options: Any) -> Any:
        return tasks.submit_flow(self.name, given, options)


class Task(_Function[P, R]):
    """A function that may fail, in a sandbox of its own."""

    kind = "task"

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
        how = policy(retries, retry_delay_seconds, **words("flow", more))
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

    how = policy(retries, retry_delay_seconds, **words("task", more))
    options = _options(timeout_seconds, cpu_seconds, memory, log_prints, persist_result, secrets, variables)

    def made(fn: Any) -> Any:
        it = Task(fn, name, description, how, options)
        it.version, it.tags, it.condition = version or "", list(tags), retry_condition_fn
        return _known("task", TASKS, it)

    return made if fn is None else made(fn)
