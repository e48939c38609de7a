"""What a component carries: the modules that nobody has imported yet, and what lies beside them.

A sandbox has no files. While the component is built, the standard library, the project and its packages are compiled,
packed and kept in memory; whatever is imported later is found here. Nothing is run for that.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.abc
import importlib.machinery
import importlib.resources
import importlib.util
import io
import linecache
import marshal
import os
import pathlib
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.resources.abc import Traversable, TraversableResources
from typing import Any, NamedTuple

from ._words import of_prefect

# Tests, windows, terminals and what installs packages have no place in a sandbox, and are half of it.
_LEFT_OUT = frozenset(
    "__hello__ __phello__ _pyrepl antigravity curses ensurepip idlelib pydoc_data site-packages test this tkinter turtle "
    "turtledemo venv lib2to3".split()
)
# Of a project: what is no module of it, and can be large.
_NOT_LOOKED_AT = frozenset("target retake-sdk node_modules __pycache__ venv env build dist".split())
# A file that lies beside modules is data, up to this size. A component may have 64 MiB.
_LARGEST_FILE = 4 << 20
_MOST_DATA = 16 << 20

# What this interpreter has no compiled part for.
_WHY_NOT = {
    "_ctypes": "a sandbox calls no C libraries",
    "_multiprocessing": "a sandbox has one process: what runs side by side are tasks, `task.submit(…)` and `task.map(…)`",
    "_posixshmem": "a sandbox has one process",
    "_ssl": "the network is not granted to a sandbox; `ssl` is there, and says so",
    "_bz2": "the interpreter of a component has `zlib` and `gzip`, not `bz2`",
    "_lzma": "the interpreter of a component has `zlib` and `gzip`, not `lzma`",
    "_zstd": "the interpreter of a component has `zlib` and `gzip`, not `zstd`",
    "_curses": "a sandbox has no terminal",
    "_tkinter": "a sandbox has no screen",
    "_dbm": "a sandbox has no files",
    "_gdbm": "a sandbox has no files",
    "readline": "a sandbox has no terminal",
    "termios": "a sandbox has no terminal",
    "fcntl": "a sandbox has no files",
    "mmap": "a sandbox has no files",
    "resource": "its limits are set where the task is declared: `memory`, `cpu_seconds`",
    "grp": "a sandbox has no users",
    "pwd": "a sandbox has no users",
    "syslog": "write `get_run_logger()`",
    "msvcrt": "a sandbox is no Windows",
    "winreg": "a sandbox is no Windows",
}


class _Module(NamedTuple):
    """A module, packed."""

    is_package: bool
    #: Where it was, as `__file__` says it.
    file: str
    packed: bytes
    #: Whether it is source text: that is what does not compile, so that it says so when it is imported.
    is_source: bool


class Carried(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads them."""

    def __init__(self) -> None:
        self.modules: dict[str, _Module] = {}
        #: Files by their path, packed.
        self.files: dict[str, bytes] = {}
        #: What is done with a module when it has been loaded.
        self.after: dict[str, Callable[[Any], None]] = {}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        it = self.modules.get(fullname)
        if it is None:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=it.file, is_package=it.is_package)
        spec.has_location = True
        if it.is_package:
            spec.submodule_search_locations = [os.path.dirname(it.file)]
        return spec

    def exec_module(self, module: Any) -> None:
        name = module.__name__
        exec(self.get_code(name), module.__dict__)  # noqa: S102 - This is what an import is.
        if name in self.after:
            self.after[name](module)

    def get_code(self, fullname: str) -> Any:
        it = self._module(fullname)
        text = zlib.decompress(it.packed)
        return compile(text, it.file, "exec", dont_inherit=True) if it.is_source else marshal.loads(text)

    def get_source(self, fullname: str) -> str | None:
        it = self._module(fullname)
        packed = self.files.get(it.file)
        return None if packed is None else importlib.util.decode_source(zlib.decompress(packed))

    def is_package(self, fullname: str) -> bool:
        return self._module(fullname).is_package

    def get_data(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(2, "no such file in the component", path)
        return zlib.decompress(self.files[path])

    def get_filename(self, fullname: str) -> str:
        return self._module(fullname).file

    def get_resource_reader(self, fullname: str) -> Any:
        it = self._module(fullname)
        return _Resources(_Place(self, os.path.dirname(it.file))) if it.is_package else None

    def _module(self, fullname: str) -> _Module:
        if fullname not in self.modules:
            raise ImportError(f"no module named `{fullname}`", name=fullname)
        return self.modules[fullname]

    def add(self, name: str, is_package: bool, file: str, source: bytes) -> None:
        """Carries a module."""
        try:
            code, is_source = marshal.dumps(compile(source, file, "exec", dont_inherit=True)), False
        except (SyntaxError, ValueError):
            code, is_source = source, True
        self.modules[name] = _Module(is_package, file, zlib.compress(code), is_source)

    def add_directory(self, root: str, *, sources: bool = False, data: bool = False) -> None:
        """Carries all modules of a directory, with the files that are in packages; with their sources, and all files."""
        room = _MOST_DATA
        for path, name, is_package in _walk(root):
            if name is not None:
                source = bytes_of(path)
                if name not in self.modules:
                    self.add(name, is_package, path, source)
                    if sources:
                        self.files[path] = zlib.compress(source)
            elif (data or _is_in_package(root, path)) and os.path.getsize(path) <= min(_LARGEST_FILE, room):
                room -= os.path.getsize(path)
                self.files[path] = zlib.compress(bytes_of(path))

    def add_standard_library(self, root: str, cache: str) -> bool:
        """Carries the standard library. To compile it takes seconds, and much memory: `cache` is a directory that keeps
        it. Returns whether it has just been put there."""
        kept = f"{cache}/standard-library-{sys.hexversion:x}-1.bin"
        with contextlib.suppress(Exception):
            # Not by way of a text that has it all once more: what is taken here is memory of each sandbox.
            with open(kept, "rb") as file:
                self.modules |= {name: _Module(*it) for name, it in marshal.load(file).items()}
            return False
        before = set(self.modules)
        for path, name, is_package in _walk(root, _LEFT_OUT):
            if name is not None and name.partition(".")[0] not in _LEFT_OUT:
                self.add(name, is_package, path, bytes_of(path))
        new = {name: tuple(it) for name, it in self.modules.items() if name not in before}
        with contextlib.suppress(OSError):
            # Whole or not at all: another build may read it.
            with open(f"{kept}.{os.urandom(4).hex()}", "wb") as file:
                file.write(marshal.dumps(new))
            os.replace(file.name, kept)
            return True
        return False

    def why(self, name: str) -> str:
        """Returns why there is no module of this name."""
        top, _, below = name.partition(".")
        if name in _WHY_NOT:
            return f"no module named {name}: {_WHY_NOT[name]}"
        if top in _LEFT_OUT or top in sys.stdlib_module_names:
            return f"no module named {name}: it has no place in a sandbox"
        if top == "retake" and of_prefect(name):
            return f"no module named {name}: {of_prefect(name)}"
        if top == "prefect":
            return f"no module named {name}: write `from retake import flow, task` instead of Prefect's import"
        if below and (top in self.modules or top in sys.modules):
            return f"no module named {name}: there is a `{top}`, but nothing of that name in it"
        return f"no module named {name}: add it to `dependencies` in pyproject.toml, and build again"

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """Returns what packages say of themselves, for `importlib.metadata`."""
        wanted = None if context.name is None else _normal(context.name)
        for file in self.files:
            place, _, name = file.rpartition("/")
            if name == "METADATA" and place.endswith(".dist-info"):
                if wanted in (None, _normal(place.rpartition("/")[2].partition("-")[0])):
                    yield _distribution(self, place)

    def show_sources(self) -> None:
        """Lets tracebacks show the lines of the project and of its packages."""
        for it in self.modules.values():
            if it.file in self.files:
                text = importlib.util.decode_source(zlib.decompress(self.files[it.file]))
                linecache.cache[it.file] = (len(text), None, text.splitlines(True), it.file)


def _is_in_package(root: str, path: str) -> bool:
    """Whether a file lies beside an `__init__.py`: then it is data of a package."""
    place = os.path.dirname(path)
    return place != root and os.path.exists(os.path.join(place, "__init__.py"))


def show_files(carried: Carried) -> None:
    """Lets programs read the files of packages by their path, as they would where there are files."""
    opened, looked_at = io.open, os.stat

    def path_of(file: Any) -> str:
        try:
            return os.path.normpath(os.fspath(file))
        except TypeError:
            return ""

    def open_(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        path = path_of(file)
        if path not in carried.files or set(mode) & set("wax+"):
            return opened(file, mode, buffering, encoding, errors, newline, *more, **named)
        found = io.BytesIO(carried.get_data(path))
        return found if "b" in mode else io.TextIOWrapper(found, encoding or "utf-8", errors, newline)

    def stat(path: Any, *more: Any, **named: Any) -> os.stat_result:
        try:
            return looked_at(path, *more, **named)
        except OSError:
            file = path_of(path)
            if file in carried.files:
                return os.stat_result((0o100444, 0, 0, 1, 0, 0, len(carried.get_data(file)), 0, 0, 0))
            if file and any(it.startswith(f"{file}/") for it in carried.files):
                return os.stat_result((0o040555, 0, 0, 1, 0, 0, 0, 0, 0, 0))
            raise

    builtins.open = io.open = open_  # type: ignore[assignment]
    os.stat = stat  # type: ignore[assignment]


def bytes_of(path: str) -> bytes:
    """Returns what is in a file."""
    with open(path, "rb") as file:
        return file.read()


def _walk(root: str, left_out: frozenset[str] = _NOT_LOOKED_AT) -> Iterator[tuple[str, str | None, bool]]:
    """Returns each file with the module that it is, if it is one, in an order that stays."""
    for place, directories, files in os.walk(root):
        directories[:] = sorted(it for it in directories if not it.startswith(".") and it not in left_out and it != "__pycache__")
        within = os.path.relpath(place, root)
        parts = [] if within == "." else within.split(os.sep)
        for file in sorted(files):
            path = os.path.join(place, file)
            stem, dot, kind = file.rpartition(".")
            if dot and kind == "py" and all(map(str.isidentifier, [*parts, stem])):
                is_package = stem == "__init__"
                name = ".".join(parts if is_package else [*parts, stem])
                if name:
                    yield path, name, is_package
            elif kind not in ("pyc", "so", "pyd") and not file.startswith("."):
                yield path, None, False


class _Place(Traversable):
    """A file or a directory of a package."""

    def __init__(self, of: Carried, path: str) -> None:
        self._of = of
        self._path = path

    @property
    def name(self) -> str:
        return os.path.basename(self._path)

    def iterdir(self) -> Iterator[_Place]:
        start = self._path + "/"
        names = dict.fromkeys(it[len(start) :].partition("/")[0] for it in self._of.files if it.startswith(start))
        return iter([_Place(self._of, start + it) for it in names])

    def is_dir(self) -> bool:
        return any(it.startswith(self._path + "/") for it in self._of.files)

    def is_file(self) -> bool:
        return self._path in self._of.files

    def joinpath(self, *descendants: Any) -> _Place:
        return _Place(self._of, os.path.normpath("/".join([self._path, *map(str, descendants)])))

    __truediv__ = joinpath

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = io.BytesIO(self.read_bytes())
        return file if "b" in mode else io.TextIOWrapper(file, *args, **kwargs)

    def read_bytes(self) -> bytes:
        return self._of.get_data(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def __str__(self) -> str:
        return self._path

    def __fspath__(self) -> str:
        return self._path


def _distribution(of: Carried, place: str) -> Any:
    # Whoever asks for one has loaded this, and it is large.
    from importlib.metadata import Distribution

    class Found(Distribution):
        """What a package says of itself."""

        def read_text(self, filename: str) -> str | None:
            path = f"{place}/{filename}"
            return of.get_data(path).decode() if path in of.files else None

        def locate_file(self, path: Any) -> pathlib.Path:
            return pathlib.Path(os.path.dirname(place)) / path

    return Found()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


@importlib.resources.as_file.register(_Place)
@contextlib.contextmanager
def _as_file(place: _Place) -> Iterator[pathlib.Path]:
    """Returns the path of a file: it is there while the component is built, and later there is none anywhere."""
    yield pathlib.Path(str(place))


class _Resources(TraversableResources):
    def __init__(self, place: _Place) -> None:
        self._place = place

    def files(self) -> _Place:
        return self._place
