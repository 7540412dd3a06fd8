"""The arrows of the house: who may import whom, read from the imports themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"trading", "feeds", "storage", "alerts", "dashboard", "simulator"}
MAY = {
    "trading": set(),
    "feeds": {"trading"},
    "storage": {"trading"},
    "alerts": {"trading"},
    "dashboard": {"trading"},
    "simulator": {"feeds.upstox.proto"},
}
# The core knows no framework, no disk and no network.
PURE = {
    "nicegui",
    "sqlmodel",
    "sqlalchemy",
    "httpx",
    "websocket",
    "apscheduler",
    "google",
    "fastapi",
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(room: str) -> list[Path]:
    return [p for p in (ROOT / room).rglob("*.py") if "_pb2" not in p.name]


@pytest.mark.parametrize("room", sorted(MAY))
def test_no_room_imports_what_it_may_not(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(room)
        for name in imports(path)
        if name.split(".")[0] in ROOMS | {"main", "settings"}
        and name.split(".")[0] != room
        and not any(name == allowed or name.startswith(f"{allowed}.") for allowed in MAY[room])
    ]

    assert files(room)
    assert wrong == []


def test_the_core_is_pure() -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in files("trading")
        for name in imports(path)
        if name.split(".")[0] in PURE
    ]

    assert wrong == []


def modules() -> dict[str, set[str]]:
    """Return what each module imports of our own, as file names without `.py`, dotted."""
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for room in ROOMS
        for path in files(room)
    }
    graph: dict[str, set[str]] = {}
    for module, path in found.items():
        names = set(imports(path))
        graph[module] = {
            other
            for other in found
            if any(name == other or name.startswith(f"{other}.") for name in names)
        }
    return graph


def test_nothing_imports_in_a_circle() -> None:
    graph = modules()
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in graph[module] - {module}:
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())
