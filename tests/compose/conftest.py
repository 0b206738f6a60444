"""One stack of containers for the whole run; each stage of its journey is a fixture.

There is no way back from a stage, so the tests of a stage are run before the next begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.compose import containers
from tests.compose.containers import Containers
from tests.faults.writers import Writers

STAGES = ("up", "users_moved", "all_moved", "retired")
REHEARSAL = Path(__file__).with_name("rehearsal.txt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_stage)


def _stage(item: pytest.Item) -> int:
    return max((STAGES.index(name) for name in getattr(item, "fixturenames", ()) if name in STAGES), default=-1)


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Built and up from what a clean clone has."""
    reason = containers.missing()
    if reason:
        pytest.skip(f"no containers here: {reason}")
    folder = tmp_path_factory.mktemp("compose") / "clone"
    containers.clone(folder)
    found = Containers(folder)
    try:
        found.up()
        yield found
    finally:
        found.remove()


@pytest.fixture(scope="session")
def users_moved(up: Containers) -> Mapping[str, Any]:
    """The verbs' answers while users moved out, back and out for good, under writers that remember every answer."""
    said = {}
    with Writers(up.client) as writers:
        for step in ("start", "verify", "switch", "reverse", "switch again", "complete"):
            verb = step.split()[0]
            confirmed = ("--yes",) if verb in ("switch", "reverse", "complete") else ()
            said[step] = up.strangler(verb, "users", *confirmed)
            writers.get_through()
    return {"said": said, "writers": writers}


@pytest.fixture(scope="session")
def all_moved(up: Containers, users_moved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report of the rehearsal in which products and orders moved too."""
    done = up.compose(
        *("run", "--rm", "-T", "--volume", f"{REHEARSAL}:/script.txt:ro", "rehearsal"),
        *("strangler", "rehearse", "--script", "/script.txt", "--json"),
        *("--clients", "8", "--processes", "1", "--requests", "1500", "--writes", "300"),
        code=None,
        seconds=600,
    )
    assert done.stdout.strip(), done.stderr
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**report, "errors": done.stderr}


@pytest.fixture(scope="session")
def retired(up: Containers, all_moved: Mapping[str, Any]) -> Containers:
    """The services alone: nothing of the monolith runs but its database, which holds the ledger."""
    up.compose("stop", "monolith", "monolith-worker", "monolith-relay", "monolith-references")
    up.strangler("retire", "--yes")
    return up
