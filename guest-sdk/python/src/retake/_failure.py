"""Why a flow or a task did not succeed."""

from __future__ import annotations

import builtins
import json
import traceback
from typing import Any

# What the contract allows (wit/README.md); whatever is longer is cut by the host.
_TRACEBACK_BYTES = 16 << 10


class Failure(Exception):
    """A failure with a code of its own.

    The code is what policies and people go by, dotted and open: ``http.503``. Any other exception has the name of its
    class as code. `retry` says what the author knows about trying again: ``"by-policy"``, ``"never"``, or a number of
    seconds to wait instead of the policy's delay, as a 429's ``Retry-After`` asks for.
    """

    def __init__(
        self, code: str, message: str = "", *, retry: str | float = "by-policy", details: Any = None
    ) -> None:
        super().__init__(message)
        if isinstance(retry, str) and retry not in ("by-policy", "never"):
            raise ValueError(f'`retry` is "by-policy", "never" or a number of seconds, not {retry!r}')
        self.code = code
        self.message = message
        self.retry = retry
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code

    @classmethod
    def permanent(cls, code: str, message: str = "", *, details: Any = None) -> Failure:
        """Makes one that is not tried again."""
        return cls(code, message, retry="never", details=details)

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Returns the failure that an exception is."""
        if isinstance(error, Failure):
            return error
        text = "".join(traceback.format_exception(error))
        # The end says what went wrong.
        details = {"traceback": text.encode()[-_TRACEBACK_BYTES:].decode(errors="ignore")}
        return cls(type(error).__name__, str(error), details=details)


def raised(failure: Any) -> Failure:
    """Returns the exception for a failure that the host answered with. What its author knew about trying again is still
    true for whoever raises it once more.

    One whose code is that of a built-in exception is that exception, too: ``except ValueError`` catches what a task
    raised in a sandbox of its own.
    """
    code, details = failure.code, failure.details
    known = getattr(builtins, code, None)
    kind: type[Failure] = Failure
    if isinstance(known, type) and issubclass(known, Exception):
        try:
            kind = type(code, (Failure, known), {})
        except TypeError:
            # Its layout is another: an OSError, say, has more to it.
            kind = Failure
    return kind(code, failure.message, retry=_advice(failure.retry), details=None if details is None else json.loads(details))


def _advice(of: Any) -> str | float:
    match type(of).__name__:
        case "RetryAdvice_Never":
            return "never"
        case "RetryAdvice_After":
            return of.value / 1000
        case "RetryAdvice_ByPolicy":
            return "by-policy"
        case _:
            return of
