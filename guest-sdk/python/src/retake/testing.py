"""A host for tests: flows run as ordinary functions, without WebAssembly, a server or a wait.

    run = Host().fail("charge", 3).run(checkout, order=7)
    assert run.state == "Failed"
    assert run.call("charge").waits == [1, 10]

    run.retry()                                   # As a person does.
    assert run.state == "Completed"
    assert run.call("reserve").fed_back           # Its result was kept; its body did not run again.

What it does as the host does: states, attempts and their arithmetic (without jitter: a wait is never shorter), rounds,
what is fed back and what is run again, timeouts of tasks, the order in which calls end, `sleep`, what `context` says.
What it cannot do: a body is not stopped while it runs, modules keep their variables, and `time` and `random` are the
machine's. What is given and returned is checked as the hints say it, and not by what else a schema may say.
"""

from __future__ import annotations

import enum
import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from . import _body, _host
from ._declaration import FLOWS, TASKS, Flow
from ._failure import Failure, told
from ._policy import Policy

__all__ = ["Attempt", "Call", "Host", "Run"]

_LONGEST_DELAY = 30 * 24 * 3600.0
_TASK_TIMEOUT = 60.0
_BEGINNING = 1_767_225_600_000
_FINAL = ("sandbox.cpu", "sandbox.output", "sandbox.denied", "host.cancelled")


class _Killed(_host.Unwound):
    """Unwinds a flow whose host is killed."""


@dataclass
class Attempt:
    """One attempt of a flow or of a task. Times are seconds on the clock of the test, which begins with the run."""

    number: int
    began: float
    ended: float
    failure: Failure | None = None
    #: How often it was resumed after the host had died.
    resumed: int = 0
    _has_ended: bool = field(default=False, repr=False)

    def _end(self, at: float, failure: Failure | None) -> None:
        self.ended, self.failure, self._has_ended = at, failure, True


def _waits(attempts: list[Attempt]) -> list[float]:
    return [round(after.began - before.ended, 3) for before, after in zip(attempts, attempts[1:], strict=False)]


@dataclass
class _Outcome:
    result: str | None
    failure: Failure | None


def _failed(code: str, message: str, retry: str | float = "by-policy") -> _Outcome:
    return _Outcome(None, Failure(code, message, retry=retry))


@dataclass
class _Entry:
    """What is kept of a call."""

    name: str
    identity: tuple[str, ...]
    occurrence: int
    kept: bool
    of_attempt: int
    asked_in: int
    ends: float
    attempts: list[Attempt] = field(default_factory=list)
    outcome: _Outcome | None = None
    child: _Books | None = None


@dataclass
class _Books:
    """What is kept of a flow run."""

    flow: Flow[Any, Any]
    parameters: str
    policy: Policy
    now: float
    round_began: float
    state: str = "Running"
    attempts: list[Attempt] = field(default_factory=list)
    calls: list[_Entry] = field(default_factory=list)
    outcome: _Outcome | None = None
    spent: Counter[str] = field(default_factory=Counter)

    def new_round(self, at: float) -> None:
        """Begins a round by hand: the whole budget is there again."""
        self.now = self.round_began = at
        self.state, self.outcome, self.spent = "Running", None, Counter()


@dataclass
class _Frame:
    """What runs: the attempt of a flow or of a task, with its clock."""

    books: _Books
    entry: _Entry | None
    attempt: int
    retries_left: int
    now: float
    asked: Counter[tuple[str, ...]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Call:
    """What a call came to."""

    name: str
    #: All its attempts, those of earlier rounds too.
    attempts: list[Attempt]
    #: Whether the last attempt of the flow was given the result of an earlier one: Cached.
    fed_back: bool
    failure: Failure | None

    @property
    def waits(self) -> list[float]:
        """The seconds between its attempts."""
        return _waits(self.attempts)


class Host:
    """A host, and what is to go wrong in it.

    Names are those of tasks, or of flows. What is said more than once happens to one attempt after the other.
    """

    def __init__(self) -> None:
        self._acts: dict[str, deque[Callable[[float], _Outcome]]] = {}
        self._kills: list[str] = []
        self._values: dict[tuple[str, str], str] = {}
        self._frames: list[_Frame] = []
        self._lines: list[str] = []

    def fail(self, name: str, times: int = 1, failure: Failure | None = None) -> Host:
        """The next attempts fail with this, or with the code ``test.failed``; their bodies are not run."""
        it = failure or Failure("test.failed", "failed, as the test said")
        self._acts.setdefault(name, deque()).extend([lambda _: _Outcome(None, it)] * times)
        return self

    def hang(self, name: str) -> Host:
        """The next attempt takes until its time is over, and fails with ``sandbox.timeout``."""
        self._acts.setdefault(name, deque()).append(self._hang)
        return self

    def trap(self, name: str) -> Host:
        """The next attempt fails with ``sandbox.trap``."""
        self._acts.setdefault(name, deque()).append(lambda _: _failed("sandbox.trap", "trapped, as the test said"))
        return self

    def kill_host_after(self, name: str) -> Host:
        """The host dies when the call has come to something that is kept, before the flow sees it. Then the attempt is
        resumed: the body runs from its beginning, and is answered from what is kept."""
        self._kills.append(name)
        return self

    def secret(self, name: str, value: str) -> Host:
        """Grants a secret."""
        self._values["secret", name] = value
        return self

    def variable(self, name: str, value: Any) -> Host:
        """Grants a variable."""
        self._values["variable", name] = json.dumps(value)
        return self

    def run(self, flow: Flow[Any, Any], /, **parameters: Any) -> Run:
        """Runs a flow until it has ended, with its retries."""
        books = _Books(flow, _given(flow, parameters), flow.policy, 0.0, 0.0)
        self._drive_to_end(books)
        return Run(self, books)

    def _drive_to_end(self, books: _Books) -> None:
        if _host.testing is not None:
            raise RuntimeError("a test's run is driven from within another; call the flow instead")
        _host.testing = _World(self)
        try:
            self._drive(books)
        finally:
            _host.testing = None

    def _hang(self, timeout: float) -> _Outcome:
        self._frame.now += timeout
        return _timed_out(timeout)

    @property
    def _frame(self) -> _Frame:
        return self._frames[-1]

    def _scripted(self, name: str) -> Callable[[float], _Outcome] | None:
        acts = self._acts.get(name)
        return acts.popleft() if acts else None

    def _attempt(self, kind: str, it: Any, name: str, given: str, timeout: float) -> _Outcome:
        act = self._scripted(name)
        if act is not None:
            return act(timeout)
        try:
            return _Outcome(_body.run(kind, it, given), None)
        except Failure as failure:
            return _Outcome(None, failure)

    def _drive(self, books: _Books) -> None:
        """Makes attempts of a flow run until it ends. What kills the host unwinds to the outermost run, which goes on."""
        while True:
            if not books.attempts or books.attempts[-1]._has_ended:
                books.attempts.append(Attempt(len(books.attempts) + 1, books.now, books.now))
            left = max(0, books.policy.retries - books.spent["policy"])
            self._frames.append(_Frame(books, None, len(books.attempts), left, books.now))
            try:
                outcome = self._attempt("flow", books.flow, books.flow.name, books.parameters, _TASK_TIMEOUT)
            except _Killed:
                books.now = self._frames.pop().now
                books.attempts[-1].resumed += 1
                if self._frames:
                    raise
                continue
            if self._end(books, outcome):
                return

    def _end(self, books: _Books, outcome: _Outcome) -> bool:
        frame = self._frames.pop()
        ended = frame.now
        for call in books.calls:
            if call.asked_in == frame.attempt and call.ends > frame.now:
                if outcome.failure is None:
                    ended = max(ended, call.ends)  # What still runs is waited for.
                else:
                    call.outcome, call.ends = _cancelled(), frame.now
            if not call.kept:
                call.outcome = None
        books.attempts[-1]._end(ended, outcome.failure)
        books.now = ended
        if outcome.failure is None:
            books.state = "Completed"
        else:
            verdict = _after_failure(books.policy, outcome.failure, books.spent, books.round_began, ended)
            if not isinstance(verdict, str):
                books.now = verdict
                return False
            books.state = verdict
        books.outcome = outcome
        return True

    def _submit(self, kind: str, name: str, given: str, options: Any) -> _Handle:
        frame = self._frame
        books = frame.books
        it = (FLOWS if kind == "flow" else TASKS).get(name)
        version = getattr(it, "version", "") or "1"
        asked = f"key:{options.key}" if options.key is not None else json.dumps(json.loads(given), sort_keys=True)
        identity = (kind, name, version, asked)
        frame.asked[identity] += 1
        occurrence = frame.asked[identity]
        entry = next((e for e in books.calls if e.identity == identity and e.occurrence == occurrence), None)
        if entry is None:
            kept = kind == "flow" or it is None or it.options.persist_result is not False
            entry = _Entry(name, identity, occurrence, kept, frame.attempt, frame.attempt, frame.now)
            books.calls.append(entry)
        entry.asked_in = frame.attempt
        if frame.entry is not None:
            entry.outcome, entry.ends = _not_in_a_task(frame.entry.name, kind, name), frame.now
        elif it is None:
            entry.outcome, entry.ends = _failed("input.invalid", f"there is no {kind} `{name}`", "never"), frame.now
        elif entry.outcome is None or (entry.outcome.failure is not None and entry.of_attempt != frame.attempt):
            self._work(entry, it, given, options.retry)
        elif entry.of_attempt != frame.attempt:
            entry.ends = frame.now  # What an earlier attempt came to is there at once; in a resumed one, when it came.
        return _Handle(self, entry)

    def _work(self, entry: _Entry, it: Any, given: str, policy: Policy | None) -> None:
        frame = self._frame
        if isinstance(it, Flow):
            if entry.child is None:
                entry.child = _Books(it, given, policy or it.policy, frame.now, frame.now)
            elif entry.child.outcome is not None:
                entry.child.new_round(frame.now)
            self._drive(entry.child)
            entry.attempts, entry.outcome, entry.ends = entry.child.attempts, entry.child.outcome, entry.child.now
        else:
            self._work_on_task(entry, it, given, policy or it.policy)
        entry.of_attempt = frame.attempt

    def _work_on_task(self, entry: _Entry, it: Any, given: str, policy: Policy) -> None:
        frame = self._frame
        timeout = _TASK_TIMEOUT if it.options.timeout is None else it.options.timeout / 1000
        began = due = frame.now
        spent: Counter[str] = Counter()
        while True:
            attempt = Attempt(len(entry.attempts) + 1, due, due)
            entry.attempts.append(attempt)
            left = max(0, policy.retries - spent["policy"])
            self._frames.append(_Frame(frame.books, entry, attempt.number, left, due))
            outcome = self._attempt("task", it, entry.name, given, timeout)
            now = self._frames.pop().now
            if now - due > timeout:
                outcome = _timed_out(timeout)
            ended = min(now, due + timeout)
            attempt._end(ended, outcome.failure)
            if outcome.failure is not None:
                verdict = _after_failure(policy, outcome.failure, spent, began, ended)
                if not isinstance(verdict, str):
                    due = verdict
                    continue
            entry.outcome, entry.ends = outcome, ended
            return


class Run:
    """A run that has ended."""

    def __init__(self, host: Host, books: _Books) -> None:
        self._host = host
        self._books = books

    @property
    def state(self) -> str:
        """``Completed``, ``Failed`` or ``Parked``."""
        return self._books.state

    @property
    def result(self) -> Any:
        """What it returned, as JSON has it; raises what it failed with."""
        outcome = self._books.outcome
        if outcome is None or outcome.failure is not None:
            raise (outcome.failure if outcome and outcome.failure else RuntimeError("the run has not ended"))
        return json.loads(outcome.result or "null")

    @property
    def failure(self) -> Failure | None:
        """What its last attempt failed with, if it did."""
        return self._books.outcome.failure if self._books.outcome else None

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts of the flow."""
        return self._books.attempts

    @property
    def waits(self) -> list[float]:
        """The seconds between them."""
        return _waits(self._books.attempts)

    @property
    def took(self) -> float:
        """How many seconds it took, on the clock of the test."""
        return round(self._books.now, 3)

    @property
    def log_lines(self) -> list[str]:
        """What was logged, each line with its level before it. What is printed is not there."""
        return self._host._lines

    @property
    def calls(self) -> list[Call]:
        """What it asked for, in the order in which it was first asked for."""
        attempt = len(self._books.attempts)
        return [
            Call(
                it.name,
                it.attempts,
                it.asked_in == attempt and it.of_attempt < attempt and it.outcome is not None and it.outcome.failure is None,
                it.outcome.failure if it.outcome else None,
            )
            for it in self._books.calls
        ]

    def call(self, name: str) -> Call:
        """The first call of the task or flow with this name."""
        for it in self.calls:
            if it.name == name:
                return it
        raise LookupError(f"the flow did not ask for `{name}`, but for {[it.name for it in self.calls]}")

    def retry(self) -> Run:
        """Retries it, as a person does: another round with the whole budget, in which what succeeded is fed back."""
        self._books.new_round(self._books.now)
        self._host._drive_to_end(self._books)
        return self

    def rerun(self, *names: str) -> Run:
        """The same, but the results of the tasks with these names are forgotten first."""
        for it in self._books.calls:
            if it.name in names:
                it.outcome = None
        return self.retry()

    def fail(self, name: str, times: int = 1, failure: Failure | None = None) -> Run:
        """The next attempts fail, as `Host.fail` says it: for what is to go wrong after a retry."""
        self._host.fail(name, times, failure)
        return self


class _Handle:
    def __init__(self, host: Host, entry: _Entry) -> None:
        self._host = host
        self._entry = entry

    def outcome(self) -> str:
        frame, entry = self._host._frame, self._entry
        frame.now = max(frame.now, entry.ends)
        if entry.name in self._host._kills:
            self._host._kills.remove(entry.name)
            raise _Killed
        outcome = entry.outcome or _cancelled()
        if outcome.failure is not None:
            code, message, details = told(outcome.failure)
            raise _host.err()(SimpleNamespace(code=code, message=message, retry=outcome.failure.retry, details=details))
        return outcome.result or "null"

    def is_done(self) -> bool:
        frame = self._host._frame
        if self._entry.ends <= frame.now:
            return True
        frame.now += 0.001  # Whoever asks again and again is to be answered some day.
        return False

    def cancel(self) -> None:
        if self._entry.ends > self._host._frame.now:
            self._entry.outcome, self._entry.ends = _cancelled(), self._host._frame.now


class _World:
    """What flows and tasks ask of their host: the modules that a component imports."""

    Options = staticmethod(lambda key, name, retry: SimpleNamespace(key=key, name=name, retry=retry))
    Level = enum.Enum("Level", ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"])

    def __init__(self, host: Host) -> None:
        self._host = host

    def submit(self, name: str, given: str, options: Any) -> _Handle:
        return self._host._submit("task", name, given, options)

    def submit_flow(self, name: str, given: str, options: Any) -> _Handle:
        return self._host._submit("flow", name, given, options)

    def wait_any(self, calls: list[_Handle]) -> int:
        first = min(range(len(calls)), key=lambda n: calls[n]._entry.ends)
        frame = self._host._frame
        frame.now = max(frame.now, calls[first]._entry.ends)
        return first

    def sleep(self, milliseconds: int) -> None:
        self._host._frame.now += milliseconds / 1000

    def now(self) -> float:
        return self._host._frame.now

    def write(self, level: enum.Enum, message: str, fields: str) -> None:
        self._host._lines.append(f"{level.name} {message}")

    def secret(self, name: str) -> str:
        return self._value("secret", name)

    def variable(self, name: str) -> str:
        return self._value("variable", name)

    def _value(self, kind: str, name: str) -> str:
        if (kind, name) not in self._host._values:
            message = f"the test grants no {kind} `{name}`: `Host().{kind}({name!r}, ...)`"
            raise _host.err()(SimpleNamespace(code="sandbox.denied", message=message, retry="never", details=None))
        return self._host._values[kind, name]

    def current(self) -> Any:
        frame = self._host._frame
        entry = frame.entry
        key = "run_test" if entry is None else "/".join(("run_test", entry.name, entry.identity[3], str(entry.occurrence)))
        return SimpleNamespace(
            flow_run_id="run_test",
            flow=frame.books.flow.name,
            deployment=None,
            task=entry and entry.name,
            task_run_id=entry and f"task_test_{frame.books.calls.index(entry) + 1}",
            attempt=frame.attempt,
            retries_left=frame.retries_left,
            idempotency_key=key,
            scheduled_for=_BEGINNING,
        )


def _given(flow: Flow[Any, Any], parameters: dict[str, Any]) -> str:
    bound = flow.signature.bind(**parameters)
    bound.apply_defaults()
    return flow.kinds.write(bound.arguments)


def _not_in_a_task(task: str, kind: str, name: str) -> _Outcome:
    instead = f"call `{name}` from the flow, or make it a plain function"
    return _failed("host.not-in-a-task", f"task `{task}` called {kind} `{name}`: a task runs alone; {instead}", "never")


def _cancelled() -> _Outcome:
    return _failed("host.cancelled", "the call was cancelled", "never")


def _timed_out(timeout: float) -> _Outcome:
    return _failed("sandbox.timeout", f"the attempt took longer than {timeout:g} s")


def _after_failure(policy: Policy, failure: Failure, spent: Counter[str], began: float, ended: float) -> str | float:
    """Returns when the next attempt begins, or the state that there is none in: the host's arithmetic, without jitter."""
    if failure.retry == "never":
        return "Failed"
    for codes, action in policy.rules:
        if any(_matches(it, failure.code) for it in codes):
            return "Failed" if action == "fail" else "Parked"
    if failure.code in _FINAL or failure.code.startswith("input."):
        return "Failed"
    spent["policy"] += 1
    exhausted = "Parked" if policy.when_exhausted == "park" else "Failed"
    if spent["policy"] > policy.retries:
        return exhausted
    if isinstance(failure.retry, str):
        most = _LONGEST_DELAY if policy.delay_max is None else policy.delay_max / 1000
        due = ended + min(_delay(policy, spent["policy"]), most, _LONGEST_DELAY)
    else:
        due = ended + min(failure.retry, _LONGEST_DELAY)
    if policy.give_up_after is not None and due > began + policy.give_up_after / 1000:
        return exhausted
    return due


def _matches(pattern: str, code: str) -> bool:
    return code.startswith(pattern[:-1]) if pattern.endswith(".*") else code == pattern


def _delay(policy: Policy, n: int) -> float:
    """Returns the seconds to wait after failure number `n`, counted from 1."""
    if isinstance(policy.delay, tuple):
        initial, factor = policy.delay
        seconds = initial / 1000
        for _ in range(1, n):
            if seconds >= _LONGEST_DELAY:
                break
            seconds *= factor / 1000
        return seconds
    if isinstance(policy.delay, list):
        return policy.delay[min(n, len(policy.delay)) - 1] / 1000
    return policy.delay / 1000
