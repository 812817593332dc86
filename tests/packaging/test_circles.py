"""No module imports itself by a detour, counting imports inside functions and for type checkers too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("veilmark", "provenance", "cloak", "synth", "contracts")


def modules() -> dict[str, Path]:
    """Dotted name of each module of the top-level packages and of ``cli.py``, to its file."""
    found = {"cli": ROOT / "cli.py"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path) -> Iterator[str]:
    """Every name that an import statement anywhere in the file mentions, relative ones made absolute."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*origin, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def import_graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """Module to the modules it imports; ``from a.b import c`` counts for ``a.b.c`` if that is a module."""
    graph: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for target in imported(name, path):
            module = target
            while module and module not in files:
                module = module.rpartition(".")[0]
            if module and module != name:
                graph[name].add(module)
    return graph


def strong_components(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of more than one node that all reach each other (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def room_of(name: str, files: dict[str, Path]) -> str:
    """The folder below the package that a module lies in; a module at the package's root is its own room."""
    parts = name.split(".")
    if len(parts) > 2 or files[name].name == "__init__.py":
        return ".".join(parts[:2])
    return name


def test_components_are_found() -> None:
    assert strong_components({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert strong_components({"a": {"b"}, "b": set()}) == []


def test_no_circle_of_modules() -> None:
    graph = import_graph(modules())
    assert len(graph) > 200
    assert strong_components(graph) == []


def test_no_circle_of_rooms() -> None:
    files = modules()
    rooms: dict[str, set[str]] = {}
    for name, targets in import_graph(files).items():
        room = room_of(name, files)
        rooms.setdefault(room, set()).update(other for t in targets if (other := room_of(t, files)) != room)
    assert strong_components(rooms) == []
