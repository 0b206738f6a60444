from __future__ import annotations

from typing import Any

import pytest
from strangler.domain.errors import RefusedError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.ledger import Ledger
from strangler.ports.side import LostError, StaleError

Bench = Any
NAME = "crates"


@pytest.fixture
def ledger(bench: Bench) -> Ledger:
    """A ledger that is installed and empty."""
    made: Ledger = bench.ledger()
    made.install()
    return made


@pytest.fixture
def moving(ledger: Ledger) -> Ledger:
    """A ledger with a move that is at epoch 1."""
    ledger.begin(NAME)
    assert ledger.swap(NAME, frm=State.STARTING, to=State.MOVING, epoch=1)
    return ledger


def test_a_ledger_is_there_once_it_is_installed(bench: Bench) -> None:
    made = bench.ledger()
    assert not made.exists()
    assert made.moves() == []

    for _ in range(2):
        made.install()

    assert made.exists()
    assert made.move(NAME) is None


def test_a_move_begins_at_the_monolith(ledger: Ledger) -> None:
    move = ledger.begin(NAME)

    assert (move.state, move.epoch, move.owner, move.intent) == (State.STARTING, 1, MONOLITH, "start")
    assert ledger.moves() == [move]
    assert move.facts == {}


def test_a_start_that_begins_anew_has_an_epoch_of_its_own(ledger: Ledger) -> None:
    assert [ledger.begin(NAME).epoch for _ in range(3)] == [1, 2, 3]


def test_a_start_that_begins_anew_knows_nothing_of_the_one_before(ledger: Ledger) -> None:
    ledger.begin(NAME)
    ledger.learn(NAME, rows=1)

    assert ledger.begin(NAME).facts == {}


def test_a_move_that_goes_on_is_not_begun_anew(moving: Ledger) -> None:
    assert (moving.begin(NAME).state, moving.begin(NAME).epoch) == (State.MOVING, 1)


def test_epochs_go_on_after_a_move_was_forgotten(moving: Ledger) -> None:
    moving.record("other", "aborted", epoch=70)
    moving.record(NAME, "aborted", epoch=7)
    moving.forget(NAME)

    assert moving.move(NAME) is None
    assert moving.begin(NAME).epoch == 8


def test_a_swap_sets_what_it_is_given(moving: Ledger) -> None:
    moving.note_step(NAME, "a step", epoch=1)

    assert moving.swap(NAME, frm=State.MOVING, to=State.SWITCHING, epoch=1, intent="switch")
    move = moving.move(NAME)
    assert move is not None
    assert (move.state, move.epoch, move.owner, move.intent, move.step) == (
        State.SWITCHING,
        1,
        MONOLITH,
        "switch",
        None,
    )

    assert moving.swap(NAME, frm=State.SWITCHING, to=State.SETTLING, epoch=1, new_epoch=2, owner=SERVICE)
    move = moving.move(NAME)
    assert move is not None
    assert (move.state, move.epoch, move.owner, move.intent) == (State.SETTLING, 2, SERVICE, None)


@pytest.mark.parametrize(("frm", "epoch"), [(State.SWITCHING, 1), (State.MOVING, 0), (State.MOVING, 2)])
def test_a_swap_from_another_state_or_epoch_changes_nothing(moving: Ledger, frm: State, epoch: int) -> None:
    before = moving.move(NAME)

    assert not moving.swap(NAME, frm=frm, to=State.SETTLING, epoch=epoch, new_epoch=9, owner=SERVICE)

    assert moving.move(NAME) == before


def test_there_is_nothing_to_swap_without_a_move(ledger: Ledger) -> None:
    assert not ledger.swap(NAME, frm=State.MOVING, to=State.SWITCHING, epoch=1)


def test_a_swap_with_a_side_is_seen_when_the_side_is_opened(bench: Bench, moving: Ledger) -> None:
    side = bench.side(MONOLITH)
    side.fence(expected=1, target=2, statement_ms=500)
    side.begin_opening(target=3, statement_ms=500)

    assert side.swap_ledger(frm=State.MOVING, to=State.SETTLING, epoch=1, new_epoch=3, owner=SERVICE)

    before = moving.move(NAME)
    side.open()
    after = moving.move(NAME)
    assert before is not None
    assert after is not None
    assert (before.state, before.epoch) == (State.MOVING, 1)
    assert (after.state, after.epoch, after.owner) == (State.SETTLING, 3, SERVICE)


def test_a_swap_with_a_side_goes_with_it(bench: Bench, moving: Ledger) -> None:
    before = moving.move(NAME)
    side = bench.side(MONOLITH)
    side.fence(expected=1, target=2, statement_ms=500)
    side.begin_opening(target=3, statement_ms=500)
    side.swap_ledger(frm=State.MOVING, to=State.SETTLING, epoch=1, new_epoch=3, owner=SERVICE)

    side.drop_opening()

    assert moving.move(NAME) == before


def test_a_swap_with_a_side_is_refused_at_another_epoch(bench: Bench, moving: Ledger) -> None:
    side = bench.side(MONOLITH)
    side.fence(expected=1, target=2, statement_ms=500)
    side.begin_opening(target=3, statement_ms=500)

    assert not side.swap_ledger(frm=State.MOVING, to=State.SETTLING, epoch=2, new_epoch=3, owner=SERVICE)
    side.drop_opening()


def test_a_swap_with_a_side_is_never_made_outside_its_opening(bench: Bench, moving: Ledger) -> None:
    before = moving.move(NAME)
    side = bench.side(MONOLITH)
    side.fence(expected=1, target=2, statement_ms=500)
    side.begin_opening(target=3, statement_ms=500)
    side.close()

    with pytest.raises(LostError):
        side.swap_ledger(frm=State.MOVING, to=State.SETTLING, epoch=1, new_epoch=3, owner=SERVICE)

    assert moving.move(NAME) == before


def test_who_stands_still_in_a_swap_with_a_side_loses_it(bench: Bench, moving: Ledger) -> None:
    side = bench.side(MONOLITH)
    side.fence(expected=1, target=2, statement_ms=500)
    side.begin_opening(target=3, statement_ms=500)
    side.swap_ledger(frm=State.MOVING, to=State.SETTLING, epoch=1, new_epoch=3, owner=SERVICE)

    assert moving.swap(NAME, frm=State.MOVING, to=State.SWITCHING, epoch=1)

    with pytest.raises(LostError):
        side.open()
    move = moving.move(NAME)
    assert move is not None
    assert move.state is State.SWITCHING


def test_one_coordinator_acts_at_a_time(bench: Bench, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strangler.adapters.postgres.schema.ledger.LOCK_SECONDS", 0.05)
    second = bench.ledger()

    with ledger.coordinating(NAME):
        assert not second.try_lock(NAME)
        assert second.try_lock("another")
        with pytest.raises(RefusedError, match="another command is at work"), second.coordinating(NAME):
            pass

    with second.coordinating(NAME):
        assert not ledger.try_lock(NAME)


def test_a_lock_is_given_back_with_its_session_or_by_hand(bench: Bench, ledger: Ledger) -> None:
    second = bench.ledger()
    assert ledger.try_lock(NAME)
    ledger.close()
    assert second.try_lock(NAME)

    second.unlock(NAME)

    assert ledger.try_lock(NAME)


def test_a_step_is_noted_by_the_one_who_has_the_move(ledger: Ledger) -> None:
    ledger.begin(NAME)
    ledger.note_step(NAME, "first", epoch=1)
    ledger.begin(NAME)

    with pytest.raises(StaleError):
        ledger.note_step(NAME, "second", epoch=1)

    move = ledger.move(NAME)
    assert move is not None
    assert move.step == "first"


def test_facts_are_added_to_those_there_are(moving: Ledger) -> None:
    moving.learn(NAME, rows=1, errors={"forward": 0})
    moving.learn(NAME, rows=2)

    move = moving.move(NAME)
    assert move is not None
    assert move.facts == {"rows": 2, "errors": {"forward": 0}}


def test_of_a_move_that_is_not_there_nothing_is_learnt_and_nothing_is_forgotten(ledger: Ledger) -> None:
    ledger.learn(NAME, rows=1)
    for _ in range(2):
        ledger.forget(NAME)

    assert ledger.moves() == []


def test_a_ledger_that_was_closed_can_be_used_again(moving: Ledger) -> None:
    for _ in range(2):
        moving.close()
        moving.unlock(NAME)

    assert moving.move(NAME) is not None


def test_agents_say_what_they_have_live(ledger: Ledger) -> None:
    ledger.agent_seen("here", {NAME: 1})
    ledger.agent_seen("here", {NAME: 2})
    ledger.agent_seen("there", {})

    agents = ledger.agents(within=60)

    assert agents["here"] == {NAME: 2}
    assert "there" in agents


def test_an_agent_that_has_left_is_not_waited_for(ledger: Ledger) -> None:
    ledger.agent_seen("leaving", {NAME: 1})
    ledger.agent_seen("staying", {NAME: 1})

    for _ in range(2):
        ledger.agent_gone("leaving")

    agents = ledger.agents(within=60)
    assert "leaving" not in agents
    assert "staying" in agents


def test_what_was_recorded_is_told_in_order_and_once(ledger: Ledger) -> None:
    ledger.record(NAME, "verified", took_ms=1.5, rows=3)
    ledger.record("other", "verified")
    ledger.record(NAME, "switch", epoch=2, took_ms=20.0, steps_ms={"announce": 1.0})

    first, second = ledger.history(NAME)

    assert (first.what, first.took_ms, first.details["rows"]) == ("verified", 1.5, 3)
    assert (second.what, second.details["steps_ms"]) == ("switch", {"announce": 1.0})
    assert first.at <= second.at
    assert ledger.history(NAME, after=first.number) == [second]
    assert ledger.history(NAME, after=second.number) == []


def test_a_server_without_an_archive_has_archived_nothing(ledger: Ledger) -> None:
    assert ledger.archived_at() is None


def test_a_listener_hears_of_changes(bench: Bench, ledger: Ledger) -> None:
    listener = bench.ledger()
    listener.listen()
    assert not listener.await_change(within=0.01)

    ledger.begin(NAME)

    assert listener.await_change(within=60)
    assert not listener.await_change(within=0.01)
