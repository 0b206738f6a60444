"""The monolith is stopped only when nothing is left in it."""

from __future__ import annotations

import pytest
from moves import NAME, moving, parts_of
from strangler.application.ending import complete
from strangler.application.retirement import Elsewhere, retire
from strangler.application.status import status
from strangler.domain.errors import RefusedError, StackError
from strangler.domain.project import MONOLITH, SERVICE


def test_it_stops_before_the_streams_to_it_end() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    complete(parts, drop=False)

    retire([parts], lambda: parts.replication.calls.append("stop"))

    assert parts.replication.calls == ["end forward", "stop", "end reverse"]
    assert world.history[-1][1] == "retired"
    assert (status(parts).phase, status(parts).next) == ("retired", [])


def test_it_is_refused_while_there_is_a_way_back() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)

    with pytest.raises(RefusedError, match="its move has been started already") as caught:
        retire([parts], lambda: pytest.fail("it was stopped"))

    assert caught.value.place == NAME
    assert parts.replication.calls == []


def test_one_that_does_not_stop_keeps_its_streams() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    complete(parts, drop=False)

    def refuse() -> None:
        raise StackError("still running")

    with pytest.raises(StackError):
        retire([parts], refuse)

    assert parts.replication.calls == ["end forward"]
    assert status(parts).phase == "completed"


def test_one_that_others_run_is_left_to_them_while_it_answers() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    complete(parts, drop=False)
    silent = [False]
    elsewhere = Elsewhere(["office", "office-relay"], lambda: None if silent[0] else "http://office/up")

    with pytest.raises(RefusedError, match="it answers still") as caught:
        retire([parts], lambda: pytest.fail("something was stopped"), elsewhere)
    assert caught.value.place == "http://office/up"
    assert "office, office-relay" in caught.value.remedy
    assert parts.replication.calls == ["end forward"]

    silent[0] = True
    retire([parts], lambda: None, elsewhere)
    assert status(parts).phase == "retired"


def test_it_can_be_run_again() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    complete(parts, drop=False)
    retire([parts], lambda: None)

    retire([parts], lambda: None)

    assert parts.replication.calls == ["end forward", "end reverse", "end reverse"]


def test_it_is_refused_until_the_monolith_has_told_all_its_events() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    complete(parts, drop=False)
    world.databases[MONOLITH].outbox = [1]

    with pytest.raises(RefusedError, match="1 event waits in the monolith's outbox"):
        retire([parts], lambda: pytest.fail("it was stopped"))

    world.databases[MONOLITH].outbox = []
    retire([parts], lambda: None)
