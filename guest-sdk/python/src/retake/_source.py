"""What can be seen in the source of flows and tasks while the component is built, and would fail when it runs."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from . import _declaration
from ._declaration import FLOWS, TASKS, Flow, Task
from ._failure import explain


class Refused(Exception):
    """What a component cannot be made of, in words for its author."""


def check_names(carried: Any, project: str) -> None:
    """Raises `Refused` for modules of the project that nobody would ever import, because Python has one of the name.

    Where there are files, the project's own would go first, unless the interpreter has loaded the other one, and then
    whatever of the standard library imports it would get the project's. Neither is what an author can see.
    """
    refused = []
    for entry in sorted(os.listdir(project)):
        name = entry.removesuffix(".py")
        is_package = os.path.isfile(os.path.join(project, entry, "__init__.py"))
        if (name != entry or is_package) and _is_of_python(carried, name, project):
            shown = f"{entry}/" if is_package else entry
            refused.append(
                f"`{shown}`: `import {name}` finds the module of Python's standard library that is called so, and not this "
                f"one: rename it, to `my_{shown}` for example, and import that"
            )
    if refused:
        raise Refused("\n".join(refused))


def _is_of_python(carried: Any, name: str, project: str) -> bool:
    if name not in sys.stdlib_module_names:
        return False
    # The interpreter of a component lacks some, `resource` for one: then the project's own is found.
    of_project = name in carried.modules and carried.modules[name].file.startswith(f"{project}/")
    loaded = getattr(sys.modules.get(name), "__file__", None) or ""
    is_loaded = name in sys.modules and not loaded.startswith(f"{project}/")
    return name in sys.builtin_module_names or is_loaded or (name in carried.modules and not of_project)


def check(carried: Any, project: str) -> None:
    """Raises `Refused` for what cannot work; imports what functions of the project import of the standard library."""
    for it in [*TASKS.values(), *FLOWS.values()]:
        tree = _tree(it.fn)
        if tree is not None:
            _check_body(it, tree)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name in carried.modules and file.startswith(f"{project}/"):
            _check_imports(carried, name, file[len(project) + 1 :])


def _tree(fn: Any) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, TypeError, SyntaxError):
        return None  # It was made in some other way.


def _own(tree: ast.AST) -> Iterator[ast.AST]:
    """Returns the nodes of a function, without those of functions within it."""
    left = list(ast.iter_child_nodes(tree))
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            left += ast.iter_child_nodes(node)


def _check_body(it: Any, tree: Any) -> None:
    around = it.fn.__globals__
    body = tree.body[0] if isinstance(tree.body[0], ast.FunctionDef) else tree
    for statement in getattr(body, "body", []):
        for node in [statement, *_own(statement)]:
            if isinstance(node, ast.Call) and isinstance(it, Task):
                _check_call(it, node, around)
            if isinstance(node, ast.FunctionDef):
                _check_declared(it, node, around)


def _check_call(it: Task[Any, Any], node: ast.Call, around: dict[str, Any]) -> None:
    of = node.func
    if isinstance(of, ast.Attribute) and of.attr in ("submit", "map"):
        of = of.value
    found = around.get(of.id) if isinstance(of, ast.Name) else None
    if isinstance(of, ast.Name) and of.id in it.fn.__code__.co_varnames + it.fn.__code__.co_freevars:
        return  # One of its own, of that name.
    if isinstance(found, (Task, Flow)):
        raise Refused(
            f"{_place(it, node)}task `{it.name}` calls {found.what}: a task runs alone; call `{found.name}` from the flow, "
            f"or make it a plain function (`{of.id}.fn(…)` calls it as one)"  # type: ignore[union-attr]
        )


def _check_declared(it: Any, node: ast.FunctionDef, around: dict[str, Any]) -> None:
    for of in node.decorator_list:
        name = of.func if isinstance(of, ast.Call) else of
        found = around.get(name.id) if isinstance(name, ast.Name) else None
        if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
            found = getattr(around.get(name.value.id), name.attr, None)
        if found in (_declaration.task, _declaration.flow):
            raise Refused(
                f"{_place(it, node)}`{node.name}` is declared within {it.what}: it runs in a sandbox of its own, which does "
                "not know it; declare it at the top of the module, and give it what it needs"
            )


def _place(it: Any, node: Any) -> str:
    code = it.fn.__code__
    file = code.co_filename.split("/", 2)[-1]
    return f"{file}:{code.co_firstlineno + node.lineno - 1}: "


def _check_imports(carried: Any, name: str, file: str) -> None:
    """Looks at what the functions of a module import."""
    try:
        tree = ast.parse(carried.get_source(name) or "")
    except SyntaxError:
        return
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in _outside_of_try(function):
                for wanted in _imported(node):
                    _check_import(carried, wanted, f"{file}:{node.lineno}")


def _outside_of_try(tree: ast.AST) -> Iterator[Any]:
    """Returns imports that nobody is prepared to miss."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.Try):
            for it in [*node.orelse, *node.finalbody]:
                yield from _outside_of_try(ast.Module([it], []))
        elif isinstance(node, ast.With) and "suppress" in ast.dump(ast.Tuple([it.context_expr for it in node.items], ast.Load())):
            continue
        elif isinstance(node, ast.If) and any(it in ast.dump(node.test) for it in ("version_info", "platform", "TYPE_CHECKING")):
            continue
        else:
            yield from _outside_of_try(node)


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module] if node.module and not node.level else []
    return [it.name for it in node.names]


def _check_import(carried: Any, name: str, place: str) -> None:
    top = name.partition(".")[0]
    if name in sys.modules:
        return
    try:
        if top in sys.stdlib_module_names:
            # It runs nothing of the author's, and is there at once when it is wanted.
            importlib.import_module(name)
        elif top not in carried.modules and top not in sys.modules and importlib.util.find_spec(top) is None:
            raise Refused(f"{place}: {carried.why(name)}")
        elif name in carried.modules:
            carried.get_code(name)
    except (ImportError, SyntaxError) as error:
        explain(error)
        raise Refused(f"{place}: {error}") from None
