"""The shape of the package: which part may know of which (architecture 1)."""

import ast
import difflib
import graphlib
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import attachsync
from attachsync.observer import Observer

ROOT = Path(attachsync.__file__).parent
PURE = {"errors", "model"}
LAYERS = [
    {"__main__", "cli"},
    {"daemon", "adopting", "repairing", "plan", "verifying", "status", "explaining", "metrics", "ownership", "serving"},
    {
        "mirror",
        "turn",
        "bulk",
        "fetcher",
        "showing",
        "downloading",
        "keeping",
        "retention",
        "damage",
        "pruning",
        "rebuilding",
        "scrubbing",
        "outbox",
        "config",
        "reader",
        "reference",
        "sections",
        "lock",
        "difference",
        "log",
        "systemd",
        "hooks",
    },
    {
        "store",
        "objects",
        "linking",
        "errands",
        "orders",
        "courier",
        "incoming",
        "room",
        "partials",
        "index",
        "views",
        "services",
        "sources",
        "filing",
        "spool",
        "folders",
        "receipts",
        "manifest",
        "growing",
    },
]
"""From the top; a module in none of them is a helper that all may use."""


def modules() -> dict[str, Path]:
    """Dotted name below the package -> file."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Full names of what a module imports, wherever in it; of our own, the module that holds the name."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}".removeprefix("attachsync.")
                yield f"attachsync.{inner}" if module.startswith("attachsync") and inner in MODULES else module


def ours(name: str) -> set[str]:
    """The modules of this package that a module imports, without the package itself."""
    found = {full.removeprefix("attachsync").lstrip(".") for full in imports(name) if full.startswith("attachsync")}
    return found - {""}


def part(name: str) -> str:
    return name.partition(".")[0]


def layer(name: str) -> int:
    """Higher numbers are lower layers; helpers are below all of them."""
    return next((number for number, parts in enumerate(LAYERS) if part(name) in parts), len(LAYERS))


def test_logs_are_loaded_in_one_way() -> None:
    """Whoever imports structlog by themselves may be the first, and then it loads what nobody needs."""
    direct = {name for name in MODULES if any(part(full) == "structlog" for full in imports(name))}
    assert direct == {"logger"}


def test_there_is_no_import_cycle() -> None:
    """Of any kind: imports inside functions count."""
    graph = {name: ours(name) - {name} for name in MODULES if name}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", sorted(set(MODULES) - {""}))
def test_imports_go_down_only(name: str) -> None:
    """cli -> daemon -> mirror, outbox -> store, index, views, sources -> helpers -> errors, model."""
    if part(name) == "sandbox":
        return
    for other in ours(name):
        assert layer(other) >= layer(name), f"{name} imports {other}"
        assert part(other) != "sandbox" or part(name) == "cli", f"{name} imports {other}"
    if part(name) in PURE:
        assert ours(name) <= {name}


@pytest.mark.parametrize("name", sorted(name for name in MODULES if part(name) == "sources"))
def test_a_source_sees_neither_the_store_nor_the_index_nor_another_source(name: str) -> None:
    """rkvst is datatrails with other constants; the table of services is not a source."""
    if name == "sources":
        return
    mine = name.split(".")[1]
    allowed = {mine, "service"} | ({"datatrails"} if mine == "rkvst" else set())
    for other in ours(name):
        assert part(other) not in {"store", "index", "views", "mirror", "outbox", "config", "reader", "daemon", "cli"}
        assert part(other) != "sources" or other.split(".")[1] in allowed, f"{name} imports {other}"


@pytest.mark.parametrize("name", sorted(name for name in MODULES if part(name) == "sandbox"))
def test_the_sandbox_knows_nothing_of_the_rest(name: str) -> None:
    """Two independent readings of each service's documents."""
    assert {part(other) for other in ours(name)} <= {"sandbox"}


def test_each_outside_thing_has_one_place() -> None:
    """SQL in index/, aiohttp's client in http.py, aiohttp at all only by way of client.py, and in what serves."""
    users: dict[str, set[str]] = {"sqlite3": set(), "aiohttp": set()}
    for name in MODULES:
        for full in imports(name):
            if (top := full.partition(".")[0]) in users:
                users[top].add(part(name))
    assert users["sqlite3"] == {"index"}
    assert users["aiohttp"] == {"client", "sandbox", "metrics"}
    assert {name for name in MODULES if "client" in ours(name)} == {"http", "reading", "multipart", "resolving"}
    sessions = {name for name, path in MODULES.items() if "ClientSession" in path.read_text()}
    assert sessions == {"http"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_files_and_functions_stay_small(name: str) -> None:
    """No file over 350 lines, no function over 60 (without its docstring's neighbours: the whole of it)."""
    text = MODULES[name].read_text()
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{name}.{node.name}"


def test_whoever_observes_hears_what_is_told():
    """A method whose name is nearly one of Observer's would never be called."""
    for name in MODULES:
        importlib.import_module(f"attachsync.{name}" if name else "attachsync")
    told, classes = {name for name in vars(Observer) if not name.startswith("_")}, [Observer]
    for kind in classes:
        classes += kind.__subclasses__()
        for name in vars(kind).keys() - told:
            assert not difflib.get_close_matches(name, told, cutoff=0.9), f"{kind.__name__}.{name}"
    assert len(classes) > 4
