"""What a component carries, what it has not, and what is seen when it is built: without building one."""

import contextlib
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

SOURCES = str(Path(__file__).parent.parent / "src")
sys.path.insert(0, SOURCES)

from retake import _declaration, _source, flow, task
from retake._carried import Carried


class Carrying(unittest.TestCase):
    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.root = Path(made.name)
        files = {
            "pkg_a/__init__.py": "from . import inner\nVALUE = inner.VALUE + 1\n",
            "pkg_a/inner.py": "VALUE = 1\n",
            "pkg_a/data.txt": "data",
            "pkg_a-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: pkg-a\nVersion: 1.2\n",
            "pkg_a/broken.py": "def f(:\n",
            "secrets.json": "{}",
            ".env": "TOKEN=1",
            "target/pkg_b.py": "",
        }
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.carried = Carried()
        self.carried.add_directory(str(self.root), sources=True)
        sys.meta_path.append(self.carried)
        self.addCleanup(sys.meta_path.remove, self.carried)
        self.addCleanup(lambda: [sys.modules.pop(it) for it in list(sys.modules) if it.startswith("pkg_")])

    def test_modules_are_found_when_their_files_are_gone(self) -> None:
        self.assertEqual(sorted(self.carried.modules), ["pkg_a", "pkg_a.broken", "pkg_a.inner"])
        for path in self.root.rglob("*.py"):
            path.unlink()
        import pkg_a

        self.assertEqual(pkg_a.VALUE, 2)
        with self.assertRaises(SyntaxError):
            import pkg_a.broken

    def test_data_of_packages_is_there_and_nothing_else(self) -> None:
        import importlib.resources

        (self.root / "pkg_a/data.txt").unlink()
        self.assertEqual(importlib.resources.files("pkg_a").joinpath("data.txt").read_text(), "data")
        names = [Path(it).name for it in self.carried.files]
        all_of_it = Carried()
        all_of_it.add_directory(str(self.root), data=True)
        context = types.SimpleNamespace(name="Pkg_A")
        self.assertEqual([it.version for it in all_of_it.find_distributions(context)], ["1.2"])
        self.assertIn("data.txt", names)
        self.assertFalse({"secrets.json", ".env"} & set(names))

    def test_what_is_missing_is_said_with_the_reason(self) -> None:
        why = self.carried.why
        for name, expected in [
            ("requests", "no module named requests: add it to `dependencies` in pyproject.toml"),
            ("tkinter", "no place in a sandbox"),
            ("_ctypes", "no C libraries"),
            ("_multiprocessing", "task.submit"),
            ("prefect", "write `from retake import flow, task`"),
            ("retake.task_runners", "side by side"),
            ("pkg_a.nothing", "there is a `pkg_a`, but nothing of that name"),
        ]:
            self.assertIn(expected, why(name))


class Names(unittest.TestCase):
    """Modules of a project that Python would not find, because it has others of the name."""

    def said(self, *files: str) -> str:
        with tempfile.TemporaryDirectory() as root:
            for file in files:
                path = Path(root) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("")
            carried = Carried()
            carried.add("queue", False, "/python/queue.py", b"")
            carried.add("email", True, "/python/email/__init__.py", b"")
            carried.add_directory(root, sources=True)
            try:
                _source.check_names(carried, root)
            except _source.Refused as error:
                return str(error)
        return ""

    def test_one_of_the_standard_library_is_refused(self) -> None:
        for file, name, other in [
            ("queue.py", "queue", "my_queue.py"),
            ("types.py", "types", "my_types.py"),
            ("time.py", "time", "my_time.py"),
            ("email/__init__.py", "email", "my_email/"),
        ]:
            said = self.said("flows.py", file)
            self.assertIn(f"`import {name}` finds the module of Python's standard library", said)
            self.assertIn(f"rename it, to `{other}` for example", said)
        self.assertIn("`time.py`", self.said("queue.py", "time.py"))
        self.assertIn("`queue.py`", self.said("queue.py", "time.py"))

    def test_others_are_not(self) -> None:
        fine = "app/queue.py app/__init__.py queue/data.txt __main__.py test.py resource.py target/queue.py"
        for file in fine.split():
            self.assertEqual(self.said("flows.py", file), "", file)


class Sandbox(unittest.TestCase):
    def check(self, program: str) -> None:
        """Runs a program where the changes of a sandbox are made: they are made for good."""
        begin = "from retake import _sandbox, Failure\nfrom retake._failure import Failure as F\n_sandbox.install({})\n"
        run = subprocess.run([sys.executable, "-c", begin + program], env={"PYTHONPATH": SOURCES}, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_the_network_is_denied_for_good_whoever_wraps_it(self) -> None:
        self.check("""
import socket, threading, urllib.request, urllib.error, http.client, smtplib
_sandbox.install({})
def reaches():
    yield lambda: socket.create_connection(("a.example", 1))
    yield lambda: socket.socket().connect(("a.example", 1))
    yield lambda: http.client.HTTPConnection("a.example").request("GET", "/")
    yield lambda: smtplib.SMTP("a.example")
    yield lambda: urllib.request.urlopen("http://a.example/")
for it in reaches():
    try:
        try:
            it()
        except OSError as error:
            raise ConnectionError("a library's own") from error
    except ConnectionError as error:
        failure = Failure.of(error)
        assert (failure.code, failure.retry, failure.details["host"]) == ("sandbox.denied", "never", "a.example"), failure
""")

    def test_threads_and_programs_are_refused_and_asyncio_runs(self) -> None:
        self.check("""
import asyncio, multiprocessing, queue, subprocess, threading, concurrent.futures
_sandbox.install({})
for it in [
    lambda: threading.Thread(target=print).start(),
    lambda: concurrent.futures.ThreadPoolExecutor().submit(print),
    lambda: concurrent.futures.ProcessPoolExecutor(),
    lambda: multiprocessing.Process(target=print),
    lambda: subprocess.run(["ls"]),
    lambda: queue.Queue().get(),
    lambda: asyncio.run(asyncio.to_thread(print)),
    lambda: asyncio.run(asyncio.wait_for(asyncio.Event().wait(), None)),
]:
    try:
        it()
    except (RuntimeError, OSError) as error:
        assert Failure.of(error).retry == "never", error
    else:
        raise AssertionError("it went on")
async def one(n):
    await asyncio.sleep(n / 100)
    return n
async def both():
    return await asyncio.gather(one(2), one(1))
assert asyncio.run(both()) == [2, 1]
""")


@task
def same(n: int) -> int:
    return n


@task
def outer() -> int:
    return same(1)


@task
def outer_in_map() -> list:
    return same.map([1]).result()


@task
def plainly() -> int:
    return same.fn(1)


@flow
def declares() -> int:
    @task
    def inner() -> int:
        return 1

    return inner()


def imports_late() -> None:
    import nowhere_at_all  # noqa: F401


def imports_if_there() -> None:
    with contextlib.suppress(ImportError):
        import nowhere_at_all  # noqa: F401
    if sys.version_info < (3, 11):
        import nowhere_at_all  # noqa: F401
    try:
        import nowhere_at_all  # noqa: F401
    except ImportError:
        pass


class Source(unittest.TestCase):
    def seen(self, it: _declaration._Function) -> str:
        tree = _source._tree(it.fn)
        try:
            _source._check_body(it, tree)
        except _source.Refused as error:
            return str(error)
        return ""

    def test_a_task_in_a_task_and_one_within_a_flow(self) -> None:
        self.assertRegex(self.seen(outer), r"test_component.py:\d+: task `outer` calls task `same`.*`same.fn\(…\)`")
        self.assertIn("task `outer-in-map` calls task `same`", self.seen(outer_in_map))
        self.assertEqual(self.seen(plainly), "")
        self.assertIn("`inner` is declared within flow `declares`", self.seen(declares))

    def test_imports_within_functions(self) -> None:
        import ast
        import inspect

        for fn, expected in [(imports_late, ["nowhere_at_all"]), (imports_if_there, [])]:
            tree = ast.parse(inspect.getsource(fn))
            self.assertEqual([name for it in _source._outside_of_try(tree) for name in _source._imported(it)], expected)
        with self.assertRaisesRegex(_source.Refused, "flows.py:3: no module named nowhere_at_all: add it to `dependencies`"):
            _source._check_import(Carried(), "nowhere_at_all", "flows.py:3")


if __name__ == "__main__":
    unittest.main()
