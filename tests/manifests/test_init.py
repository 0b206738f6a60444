"""What `strangler init` writes for the monolith, beside strangler.toml as it was written by hand."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.checks import environment
from tests.manifests.kustomize import ROOT

BY_HAND = tomllib.loads((ROOT / "strangler.toml").read_text())
# A person knows that no request deletes a product, and that orders may therefore move first. The models say SET_NULL.
KNOWN_BY_A_PERSON = {"products": {("orders_line", "product_id"): {"deletes": False}}}


def init(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("strangler")), "init", *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    shown = init("--print")
    assert shown.returncode == 0, shown.stderr
    return tomllib.loads(shown.stdout)


def test_the_capabilities_have_the_same_tables(written: dict[str, Any]) -> None:
    def tables(file: dict[str, Any]) -> dict[str, set[str]]:
        return {name: {*each["tables"]} for name, each in file["capabilities"].items()}

    assert tables(written) == tables(BY_HAND)
    # In the order in which they move: what the others refer to first.
    assert list(written["capabilities"]) == ["users", "products", "orders"]


def test_the_same_tables_stay(written: dict[str, Any]) -> None:
    assert {*written["stays"]["tables"]} == {*BY_HAND["stays"]["tables"]}


def test_the_capabilities_have_the_same_routes(written: dict[str, Any]) -> None:
    """By hand some methods of a path stand in a line of their own, for the gateway asks a token only there."""

    def routes(file: dict[str, Any]) -> dict[str, set[tuple[str, str]]]:
        found: dict[str, set[tuple[str, str]]] = {}
        for name, each in file["capabilities"].items():
            for one in each["routes"]:
                methods, _, path = (one if isinstance(one, str) else one["route"]).partition(" ")
                found.setdefault(name, set()).update((method, path) for method in methods.split(","))
        return found

    assert routes(written) == routes(BY_HAND)


def test_the_same_references_are_named(written: dict[str, Any]) -> None:
    def references(file: dict[str, Any]) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
        return {
            name: {(one.pop("table"), one.pop("column")): one for one in map(dict, each.get("references", []))}
            for name, each in file["capabilities"].items()
        }

    by_hand = references(BY_HAND)
    for name, more in KNOWN_BY_A_PERSON.items():
        for key, known in more.items():
            assert by_hand[name][key] == known
            by_hand[name][key] = {}
    assert references(written) == by_hand


def test_nothing_has_come_that_the_file_does_not_know() -> None:
    done = init("--check")

    assert done.returncode == 0, done.stdout
