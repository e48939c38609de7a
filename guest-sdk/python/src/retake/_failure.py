"""Why a flow or a task did not succeed."""

from __future__ import annotations

import base64
import builtins
import codecs
import contextlib
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from ._plain import Unstorable, plain, shown

# What the contract allows (wit/README.md); whatever is longer is cut by the host.
_TRACEBACK_BYTES = 16 << 10
_CODE_BYTES = 128
_MESSAGE_BYTES = 8 << 10
# What is told of an exception's own attributes. They are for whoever catches it, and no place to keep results in.
_RAISED_BYTES = 4 << 10
_DETAILS_DEPTH = 20
_DETAILS_ITEMS = 1000
_INNER_ERRORS = 20
_FOLLOWED = 100
# Where the SDK's own modules are.
_OURS = __file__.removesuffix("_failure.py")

# Says why there is no module of a name; set in a component, which has what it was built with.
why_missing: Callable[[str], str] | None = None

# Half of a surrogate pair is no text that anybody can store: it becomes the replacement character.
codecs.register_error("retake", lambda error: (b"\xef\xbf\xbd" * (error.end - error.start), error.end))


def said(text: str) -> str:
    """Returns a text that can be told to a host."""
    return text.encode("utf-8", "retake").decode()


class Failure(Exception):
    """A failure with a code of its own.

    The code is what policies and people go by, dotted and open: ``http.503``. Any other exception has the name of its
    class as code. `retry` says what the author knows about trying again: ``"by-policy"``, ``"never"``, or a number of
    seconds to wait instead of the policy's delay, as a 429's ``Retry-After`` asks for.
    """

    def __init__(
        self, code: str = "Failure", message: str = "", *, retry: str | float | timedelta = "by-policy", details: Any = None
    ) -> None:
        message = "" if message is None else _text(message)
        # Not what stands next in line: that may be the class of what a task raised, which takes other arguments.
        Exception.__init__(self, message)
        if isinstance(retry, timedelta):
            retry = retry.total_seconds()
        if isinstance(retry, str) and retry not in ("by-policy", "never"):
            raise ValueError(f'`retry` is "by-policy", "never" or a number of seconds, not {retry!r}')
        if isinstance(retry, (int, float)) and not (math.isfinite(retry) and retry >= 0):
            raise ValueError(f"`retry` is a number of seconds from now, not {retry!r}")
        self.code = _text(code) if code not in (None, "") else type(self).__name__
        self.message = message
        self.retry = "by-policy" if retry is None else retry
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code

    @classmethod
    def permanent(cls, code: str, message: str = "", *, details: Any = None) -> Failure:
        """Makes one that is not tried again."""
        return Failure(code, message, retry="never", details=details)

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Returns the failure that an exception is."""
        explain(error)
        final = next((it for it in related(error) if isinstance(it, Final)), None)
        if final is not None and final is not error:
            # A library has put it into an exception of its own: it stays as final as it was.
            final.details = {**(final.details if isinstance(final.details, dict) else {}), "traceback": _traceback(error)}
            return final
        if hasattr(error, "_told"):
            code, message, retry, details = error._told
            return Failure(code, message, retry=retry, details=details)
        if isinstance(error, Failure):
            error.details = _with_more(error)
            return error
        failure = Failure(type(error).__name__, _message(error), details=_details(error))
        if isinstance(error, ImportError):
            failure.retry = "never"  # Another sandbox of the same component does not have it either.
        return failure


class Final(Failure):
    """One that no other attempt can mend, also when a library wraps it into an exception of its own."""

    def __init__(self, code: str, message: str, details: Any = None) -> None:
        super().__init__(code, message, retry="never", details=details)


def unsupported(message: str, kind: type[Exception] = RuntimeError) -> Failure:
    """Returns a failure for what no sandbox has: final, and caught as what Python raises where it is missing."""
    return type(kind.__name__, (Final, kind), {"__str__": lambda self: self.message})(kind.__name__, message)


def explain(error: BaseException) -> None:
    """Says of modules that are missing why they are. A finder that did would be no finder: libraries look for what they
    can do without."""
    for it in related(error):
        if (
            why_missing is not None
            and isinstance(it, ModuleNotFoundError)
            and it.name
            and it.msg == f"No module named {it.name!r}"
        ):
            it.msg = why_missing(it.name)
            it.args = (it.msg,)


def related(error: BaseException) -> Iterator[BaseException]:
    """Returns an exception and those that it came of, as far as they can be found."""
    seen: set[int] = set()
    left: list[Any] = [error]
    while left and len(seen) < _FOLLOWED:
        it = left.pop(0)
        if not isinstance(it, BaseException) or id(it) in seen:
            continue
        seen.add(id(it))
        yield it
        args = it.args if isinstance(it.args, tuple) else ()
        left += [it.__cause__, it.__context__, getattr(it, "reason", None), *args]
        left += getattr(it, "exceptions", ())


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode(errors="replace")
    try:
        return str(value)
    except Exception as error:
        return f"a `{type(value).__name__}` whose text cannot be had ({type(error).__name__})"


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        code = error.code
        return f"the program ended itself with status {int(code or 0)}" if code is None or isinstance(code, int) else _text(code)
    if isinstance(error, FileNotFoundError) and sys.platform == "wasi":
        return f"{_text(error)}: a sandbox has no files; write to `io.BytesIO()`, and read while the module is loaded"
    if isinstance(error, MemoryError) and not error.args:
        return 'there is no memory left: `memory="128MiB"` where the task or the flow is declared asks for more'
    return _text(error)


def without_ours(told: traceback.TracebackException) -> traceback.TracebackException:
    """Leaves out how a module is found, and how a body is run: none of that is the author's to mend."""
    left: list[traceback.TracebackException | None] = [told]
    while left:
        it = left.pop()
        if it is None:
            continue
        kept = [frame for frame in it.stack if not frame.filename.startswith((_OURS, "<frozen importlib"))]
        if kept:
            it.stack[:] = kept
        left += [it.__cause__, it.__context__, *(it.exceptions or ())]
    return told


def _traceback(error: BaseException) -> str:
    try:
        lines = list(without_ours(traceback.TracebackException.from_exception(error)).format())
    except Exception:
        # A hook of the exception's own class.
        lines = [*traceback.format_tb(error.__traceback__), f"{type(error).__name__}: {_text(error)}"]
    text = "".join(lines)
    if sys.platform == "wasi":
        # The directories of a component have numbers: the project, and its packages.
        text = text.replace('"/1/', '"').replace('"/3/', '"')
    # The end says what went wrong.
    return text.encode("utf-8", "retake")[-_TRACEBACK_BYTES:].decode(errors="ignore")


def _details(error: BaseException) -> dict[str, Any]:
    details: dict[str, Any] = {"traceback": _traceback(error)} | _raised(error)
    inner = getattr(error, "exceptions", None)
    if isinstance(error, BaseExceptionGroup) and inner:
        details["errors"] = [_inner(it) for it in inner[:_INNER_ERRORS]]
    return details


def _inner(error: BaseException, depth: int = 0) -> dict[str, Any]:
    code = error.code if isinstance(error, Failure) else type(error).__name__
    message = error.message if isinstance(error, Failure) else _message(error)
    found: dict[str, Any] = {"code": said(code), "message": said(message)} | _raised(error)
    if isinstance(error, BaseExceptionGroup) and depth < 5:
        found["errors"] = [_inner(it, depth + 1) for it in error.exceptions[:_INNER_ERRORS]]
    return found


def _raised(error: BaseException) -> dict[str, Any]:
    """Returns what is needed to raise the same in the flow: its class, and what it was made of, as far as JSON can say it."""
    of = type(error)
    if "<locals>" in of.__qualname__:
        return {}
    told: dict[str, Any] = {"class": f"{of.__module__}:{of.__qualname__}"}
    args = error.args if isinstance(error.args, tuple) else ()
    if isinstance(error, UnicodeError) and len(args) == 5 and isinstance(args[1], bytes):
        args = (args[0], {"base64": base64.b64encode(args[1][:256]).decode()}, *args[2:])
    if isinstance(error, BaseExceptionGroup):
        args = args[:1]
    kept = _kept(list(args))
    if kept is not None:
        told["args"] = kept
    attributes = {name: it for name, it in vars(error).items() if not name.startswith("__") and _kept([it]) is not None}
    for name in ("errno", "strerror", "filename", "name", "path", "reason", "code", "status"):
        it = getattr(error, name, None)
        if name not in attributes and isinstance(it, (str, int)) and _kept([it]) is not None:
            attributes[name] = it
    if isinstance(error, Failure):
        attributes = {name: it for name, it in attributes.items() if name not in ("code", "message", "retry", "details")}
    if attributes:
        told["attributes"] = attributes
    elif of.__module__ == "builtins" and kept == [_message(error)]:
        return {}  # Its name says it all.
    while told and len(json.dumps(told)) > _RAISED_BYTES:
        told.popitem()
    return {"raised": told} if told else {}


def _kept(args: list[Any]) -> list[Any] | None:
    """Returns plain values; None where there are others: what would arrive as something else is left out."""

    def is_plain(it: Any) -> bool:
        if isinstance(it, list):
            return all(map(is_plain, it))
        if isinstance(it, dict):
            return all(type(name) is str and is_plain(value) for name, value in it.items())
        return it is None or type(it) in (str, int, float, bool)

    try:
        return plain(args) if is_plain(args) else None
    except (Unstorable, RecursionError):
        return None


def _with_more(error: Failure) -> Any:
    """Returns the details of a failure with its class, if that is the author's own, and with what it came of."""
    if error.details is not None and not isinstance(error.details, dict):
        return error.details
    more: dict[str, Any] = {}
    came_of = error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__)
    if came_of or isinstance(error, Final):
        more["traceback"] = _traceback(error)
    if type(error) is not Failure and not isinstance(error, Final):
        more |= _raised(error)
    return {**more, **(error.details or {})} or None


def sayable(value: Any, depth: int = 0) -> Any:
    """Returns as much of a value as JSON can say: what it cannot is there as text."""
    if depth > _DETAILS_DEPTH:
        return "…"
    if isinstance(value, dict):
        some = list(value.items())[:_DETAILS_ITEMS]
        return {said(it if isinstance(it, str) else shown(it)): sayable(of, depth + 1) for it, of in some}
    if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_fields"):
        return [sayable(it, depth + 1) for it in list(value)[:_DETAILS_ITEMS]]
    if isinstance(value, str):
        return said(value)
    try:
        return plain(value)
    except Exception:
        return said(shown(value, 1000))


def cut(text: str, most: int) -> str:
    """Returns at most so many bytes of a text."""
    return said(text).encode()[:most].decode(errors="ignore")


def told(failure: Failure) -> tuple[str, str, str | None]:
    """Returns the code, the message and the details of a failure as a host takes them, whatever somebody has put there."""
    code = cut(_text(failure.code), _CODE_BYTES) or "Failure"
    details = None if failure.details is None else json.dumps(sayable(failure.details), ensure_ascii=False)
    return code, cut(_text(failure.message), _MESSAGE_BYTES), details


def raised(failure: Any) -> Failure:
    """Returns the exception for a failure that the host answered with. What its author knew about trying again is still
    true for whoever raises it once more.

    Where the task raised an exception of a class that is known here, it is one of that class, too: ``except ValueError``
    catches what a task raised in a sandbox of its own.
    """
    details = None if failure.details is None else json.loads(failure.details)
    return _made(failure.code, failure.message, _advice(failure.retry), details)


def _made(code: str, message: str, retry: Any, details: Any) -> Failure:
    of = details.get("raised") if isinstance(details, dict) else None
    of = of if isinstance(of, dict) else {}
    known = _class(of.get("class")) or getattr(builtins, code, None)
    if isinstance(known, type) and issubclass(known, Exception) and known is not Failure:
        if issubclass(known, Failure):
            details = {name: it for name, it in details.items() if name != "raised"} or None
        try:
            return _instance(known, Failure(code, message, retry=retry, details=details), of, details)
        except Exception:
            pass  # Its layout is another, or its class does not want to be derived from.
    return Failure(code, message, retry=retry, details=details)


def _class(path: Any) -> type | None:
    """Returns a class that is loaded already: nothing is imported because a failure says so."""
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _arguments(args: list[Any]) -> list[Any]:
    return [base64.b64decode(it["base64"]) if isinstance(it, dict) and list(it) == ["base64"] else it for it in args]


def _instance(known: type, as_told: Failure, of: dict[str, Any], details: Any) -> Failure:
    """Makes an exception of a class without calling what the class does when one is made: that takes what it takes."""
    code, message = as_told.code, as_told.message
    bases = (known,) if issubclass(known, Failure) else (Failure, known)
    text = known.__str__ if issubclass(known, Failure) else lambda self: message
    kind = type(known.__name__, bases, {"__module__": known.__module__, "__str__": text})
    args = _arguments(of.get("args", [message]))
    builtin = next(it for it in known.__mro__ if it.__module__ == "builtins")
    if issubclass(builtin, BaseExceptionGroup):
        errors = details.get("errors", []) if isinstance(details, dict) else []
        inner = [_made(it["code"], it["message"], "by-policy", it) for it in errors]
        args = [of["args"][0] if of.get("args") else message, inner or [Failure(code, message)]]
    try:
        found = builtin.__new__(kind, *args)
    except TypeError:
        found = Exception.__new__(kind, *args)  # A `MemoryError` is made in a way of its own.
    with contextlib.suppress(TypeError):
        builtin.__init__(found, *args)  # Of a `UnicodeEncodeError` not all is known.
    found.args = tuple(args)
    # Its own attributes go before those of a failure: the `code` of an `HTTPError` is 404.
    own = {"code": code, "message": message, "retry": as_told.retry, "details": as_told.details}
    for name, it in (own | of.get("attributes", {})).items():
        try:
            object.__setattr__(found, name, it)
        except AttributeError:
            continue  # The class itself says what it is.
    object.__setattr__(found, "_told", (code, message, as_told.retry, as_told.details))
    return found


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
