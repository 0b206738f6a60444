"""What the tool cuts out of the monolith, beside the services that people have written."""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from strangler.adapters import toml
from strangler.extract.draft import Kind, Source
from strangler.extract.source import draft_source
from strangler.init.described import Described, read

from tests.checks import ROOT, environment

# Lines of the app that only one of them has, at most, and those of drafted ports: what a person still changes, or what
# people have written in other ways.
APART = {"users": (0, 0), "products": (120, 100), "orders": (180, 245)}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Described:
    output = tmp_path_factory.mktemp("described") / "shop.json"
    command = [sys.executable, "manage.py", "strangler_init", "--output", str(output)]
    done = subprocess.run(
        command, cwd=ROOT / "monolith", env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return read(json.loads(output.read_text()), "monolith")


@pytest.fixture(scope="module")
def sources(described: Described) -> Mapping[str, Source]:
    project = toml.load(ROOT / "strangler.toml", addresses=False)
    return {
        name: draft_source(described, project.capabilities[name], ROOT / "monolith", relations="numbers")
        for name in APART
    }


def code(files: Mapping[Path, str]) -> Mapping[Path, str]:
    return {
        path: text
        for path, text in files.items()
        if path.suffix == ".py" and "tests" not in path.parts and "migrations" not in path.parts
    }


def lines_apart(one: Mapping[Path, str], other: Mapping[Path, str]) -> int:
    """The lines that only one of them has."""
    count = 0
    for path in {*one, *other}:
        before, after = one.get(path, "").splitlines(), other.get(path, "").splitlines()
        count += sum(
            line[:1] in "+-" and line[:3] not in ("+++", "---") for line in difflib.unified_diff(before, after)
        )
    return count


@pytest.mark.parametrize("name", APART)
def test_a_drafted_app_is_near_the_one_that_people_wrote(name: str, sources: Mapping[str, Source]) -> None:
    drafted = code({Path(path): text for path, text in sources[name].files.items() if path.parts[0] == name})
    folder = ROOT / "services" / name
    written = code({path.relative_to(folder): path.read_text() for path in (folder / name).rglob("*.py")})

    ports = {path: text for path, text in drafted.items() if "ports" in path.parts}
    rest = {path: text for path, text in drafted.items() if path not in ports}
    apart = (lines_apart(rest, written), lines_apart(ports, {}))
    assert all(found <= most for found, most in zip(apart, APART[name], strict=True)), apart


@pytest.mark.parametrize("name", APART)
def test_what_needs_no_change_is_the_same_byte_for_byte(name: str, sources: Mapping[str, Source]) -> None:
    changed = {
        str(path)
        for path, text in sources[name].files.items()
        if (ROOT / "monolith" / path).is_file() and (ROOT / "monolith" / path).read_bytes() != text.encode()
    }

    assert (
        changed
        == {
            "users": set(),
            "products": {"products/admin.py", "products/models.py", "products/services.py"},
            "orders": {f"orders/{one}.py" for one in ("admin", "api", "customers", "models", "shelves")},
        }[name]
    )


def test_each_seam_that_people_have_recorded_is_in_the_work_list(sources: Mapping[str, Source]) -> None:
    orders, products = sources["orders"].decisions, sources["products"].decisions

    assert {one.place.partition(":")[0] for one in orders if one.kind is Kind.IMPORT} >= {
        "orders/api.py", "orders/customers.py", "orders/shelves.py"
    }  # fmt: skip
    assert sum(one.kind is Kind.QUERY and one.place.startswith("products/services.py") for one in products) == 7
    assert not [one for one in sources["users"].decisions if one.open and "/tests/" not in one.place]
