"""A whole move on two servers, and on one, of tables that are unlike those that Django makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from servers import Cluster
from strangler.application.ending import cancel
from strangler.application.status import status
from yard import Yard, contents, yard

PLACES: dict[str, Callable[[tuple[Cluster, Cluster], Path], AbstractContextManager[Yard]]] = {
    "two servers": yard,
    "one server": lambda clusters, folder: yard((clusters[0], clusters[0]), folder),
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, clusters: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[Yard]:
    with PLACES[request.param](clusters, tmp_path) as made:
        yield made


def phase(made: Yard) -> tuple[str, str, list[str]]:
    with made.working() as parts:
        found = status(parts)
        return found.phase, found.owner, found.next


def test_a_move_goes_there_and_back_and_away(place: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strangler.adapters.postgres.copies.hashing.RANGE_ROWS", 7)
    assert phase(place) == ("not started", "monolith", ["start"])

    started = place.start()

    assert started.rows == 30 + 21 + 62 + 30 + 9
    assert started.warnings == ["audit.Entry.crate → Crate: loose from the first switch on"]
    assert phase(place) == ("streaming", "monolith", ["verify", "cancel"])
    with place.monolith() as here, place.service() as there:
        assert contents(there) == contents(here)

    verified = place.verify()

    assert (verified.differing, verified.verified_rows) == (0, started.rows)
    assert phase(place) == ("verified", "monolith", ["verify", "switch", "cancel"])

    for verb, owner in (("switch", "service"), ("reverse", "monolith")):
        assert place.switch(verb).owner == owner
        assert place.verify().differing == 0
        assert place.doctor() == []
        assert phase(place)[1] == owner

    with place.working() as parts:
        cancel(parts)
    assert place.doctor() == []
    assert phase(place) == ("not started", "monolith", ["start"])
