"""What a component exports, and how it is put together.

It is imported while the component is built, and what it imports is a part of it. A sandbox has no files: what is
imported later is found in memory.
"""

from __future__ import annotations

import importlib
import sys
import traceback

from . import _carried, _failure, _sandbox

# It stands in for a module that the interpreter lacks. It is not imported as one of ours.
_tls = __file__.replace("_plugin.py", "_tls.py")
# First of all: what the standard library loads from here on is found, and changed, there.
CARRIED = _carried.Carried()


def build(module: str, about: tuple[str, str, str], *, project: str, packages: str, zones: str, cache: str, said: str) -> type:
    """Imports the module with the flows and returns the class of a component with all that were declared.

    The rest are directories: of the project, of its packages, of the time zones, one that keeps what is the same each
    time, and the file that is told why it cannot be built.
    """
    if CARRIED.add_standard_library("/python", cache):
        # What that took would be a part of the component: it is built by an interpreter that has just been started.
        _tell(said, "again")
        raise SystemExit
    try:
        return _build(module, about, project, packages, zones)
    except BaseException as error:
        _tell(said, _why(error, project))
        raise


def _build(module: str, about: tuple[str, str, str], project: str, packages: str, zones: str) -> type:
    _sandbox.install(CARRIED.after)
    CARRIED.add("ssl", False, _tls, _carried.bytes_of(_tls))
    CARRIED.add_directory(project, sources=True)
    CARRIED.add_directory(packages, data=True)
    CARRIED.add_directory(zones, data=True)
    # Before the finder that reads files: that one writes what it has compiled beside them, and believes it the next time.
    at = next(n for n, it in enumerate(sys.meta_path) if it.__name__ == "PathFinder")
    sys.meta_path.insert(at, CARRIED)
    _failure.why_missing = CARRIED.why
    from . import _source

    _source.check_names(CARRIED, project)
    importlib.import_module(module)
    from ._exports import Plugin

    _source.check(CARRIED, project)
    made = Plugin.of(*about)
    CARRIED.show_sources()
    _carried.show_files(CARRIED)
    # Nobody is to look for files from here on.
    sys.meta_path[:] = [it for it in sys.meta_path if getattr(it, "__name__", "") != "PathFinder"]
    sys.path_importer_cache.clear()
    for name in ("stdout", "stderr"):
        getattr(sys, name).reconfigure(errors="retake")
    return made


def _tell(file: str, text: str) -> None:
    with open(file, "w", encoding="utf-8", errors="replace") as said:
        said.write(text)


def _why(error: BaseException, project: str) -> str:
    """Returns what an author is told: the message alone of what we refuse, and a traceback without our own lines."""
    from ._hints import Undeclarable
    from ._source import Refused

    _failure.explain(error)
    if isinstance(error, (Undeclarable, Refused)):
        return f"{error}\n"
    within = error.__traceback__
    while within is not None and not within.tb_frame.f_code.co_filename.startswith(f"{project}/"):
        within = within.tb_next
    if within is None and not isinstance(error, SyntaxError):
        if isinstance(error, ModuleNotFoundError):
            return f"{error}\n"
        within = error.__traceback__
    told = traceback.TracebackException.from_exception(error.with_traceback(within))
    return "".join(_failure.without_ours(told).format()).replace(f'"{project}/', '"')
