"""Every identifier of a finding has a section that says what it means, and every section is that of an identifier."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from strangler.application.gates import Gate
from strangler.cli import console

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "how-to" / "when-something-is-wrong.md"
TOOL = ROOT / "shared" / "strangler" / "src"
CHASSIS = ROOT / "shared" / "chassis" / "src"
DOUBLES = TOOL / "strangler" / "testing"
IDENTIFIER = re.compile(r"[a-z]+(-[a-z]+)*")  # Django's own checks have others (chassis.E001)


@dataclass
class Source:
    """What some files say of identifiers; ``unread`` are calls whose identifier only their run knows."""

    found: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def collect(folder: Path, *, without: Path | None = None) -> Source:
    """The identifiers that the files of a folder give: by ``id=…``, as ``id`` of an error's class, and in the place
    of the parameter or field ``id`` of whatever is called."""
    trees = {
        path: ast.parse(path.read_text())
        for path in sorted(folder.rglob("*.py"))
        if without is None or without not in path.parents
    }
    places: dict[str, set[int]] = {}
    for tree in trees.values():
        for name, place in _takers(tree):
            places.setdefault(name, set()).add(place)
    source = Source()
    for path, tree in trees.items():
        constants = _constants(tree)
        for node in ast.walk(tree):
            for given in _given(node, places, constants):
                _take(source, given, constants, f"{path.relative_to(ROOT)}:{given.lineno}")
    return source


def _takers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What can be called with an ``id`` by its place: functions, and classes whose fields are annotated."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        elif isinstance(node, ast.ClassDef):
            names = [ast.unparse(one.target) for one in node.body if isinstance(one, ast.AnnAssign)]
        else:
            continue
        if "id" in names:
            yield node.name, names.index("id")


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _given(node: ast.AST, places: dict[str, set[int]], constants: dict[str, ast.expr]) -> Iterator[ast.expr]:
    if isinstance(node, ast.ClassDef):
        for one in node.body:
            if isinstance(one, ast.Assign) and "id" in map(ast.unparse, one.targets):
                yield one.value
    if isinstance(node, ast.Assign) and "id" in map(ast.unparse, node.targets) and isinstance(node.value, ast.IfExp):
        yield from (node.value.body, node.value.orelse)
    if not isinstance(node, ast.Call):
        return
    yield from (keyword.value for keyword in node.keywords if keyword.arg == "id")
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    arguments = [one for each in node.args for one in _spread(each, constants)]
    yield from (arguments[place] for place in places.get(called, ()) if place < len(arguments))


def _spread(argument: ast.expr, constants: dict[str, ast.expr]) -> list[ast.expr]:
    if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Name):
        spread = constants.get(argument.value.id)
        return list(spread.elts) if isinstance(spread, ast.Tuple) else [argument]
    return [argument]


def _take(source: Source, given: ast.expr, constants: dict[str, ast.expr], where: str) -> None:
    if isinstance(given, ast.Name):
        given = constants.get(given.id, given)
    if isinstance(given, ast.Constant):
        if isinstance(given.value, str) and IDENTIFIER.fullmatch(given.value):
            source.found.setdefault(given.value, where)
    elif isinstance(given, ast.JoinedStr):
        source.unread.append(f"{where}: {ast.unparse(given)}")


def gates() -> dict[str, str]:
    """The findings of shut gates, by the names that gates are made with."""
    path = TOOL / "strangler" / "application" / "gates.py"
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Gate":
            name = node.args[0]
            parts = name.values if isinstance(name, ast.JoinedStr) else [name]
            shown = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)
            kind = Gate(shown, True, "", "", opens_by_itself=False).kind
            found[f"gate-{kind}"] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def sections() -> list[str]:
    """The headings of the chapter "Findings"."""
    _, _, chapter = PAGE.read_text().partition("\n## Findings\n")
    return re.findall(r"^### (.+)$", chapter.partition("\n## ")[0], re.MULTILINE)


@pytest.fixture(scope="module")
def tool() -> Source:
    source = collect(TOOL, without=DOUBLES)
    source.found |= gates()
    return source


@pytest.fixture(scope="module")
def chassis() -> Source:
    return collect(CHASSIS)


def test_every_identifier_has_a_section(tool: Source, chassis: Source) -> None:
    known = set(sections())
    missing = {name: where for name, where in (tool.found | chassis.found).items() if name not in known}
    assert missing == {}


def test_every_section_is_that_of_an_identifier(tool: Source, chassis: Source) -> None:
    assert [name for name in sections() if name not in tool.found | chassis.found] == []


def test_the_sections_are_in_order_and_each_is_there_once() -> None:
    assert sections() == sorted(set(sections()))


def test_no_identifier_is_known_only_at_run_time(tool: Source) -> None:
    """Those of gates are; `gates` collects them."""
    assert [one.partition(": ")[2] for one in tool.unread] == ["f'gate-{gate.kind}'"]


def test_each_way_to_give_an_identifier_is_collected(tool: Source) -> None:
    """Otherwise a way that nobody collects any more would leave the other tests green."""
    by_each_way = {
        "id= of an error": "wal-level",
        "id of a class": "configuration",
        "first of a Finding": "foreign-key-out",
        "last of an Obstacle": "inheritance",
        "in a tuple of an Obstacle": "large-objects",
        "of a closure": "encoding-differs",
        "of doctor": "unproven",
    }
    assert {way: name for way, name in by_each_way.items() if name not in tool.found} == {}
    assert {"gate-transactions", "gate-ready", "gate-stream", "gate-outward"} <= gates().keys()


def test_errors_name_the_page() -> None:
    assert ROOT / console.PAGE == PAGE
