from __future__ import annotations

from typing import Any

import pytest
from strangler.domain.move import SideRow
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.side import BlockedError, LostError, Side, StaleError

Bench = Any


def row(bench: Bench, side: str) -> tuple[bool, int, str | None]:
    """Open, epoch and bounce_to, as another process sees them."""
    found: SideRow | None = bench.side(side).row()
    assert found is not None
    return found.open, found.epoch, found.bounce_to


def fenced(bench: Bench) -> Side:
    """The monolith, fenced in a switch from epoch 1 to 2."""
    side: Side = bench.side(MONOLITH)
    side.fence(expected=1, target=2, statement_ms=500)
    return side


def test_a_fence_closes_the_side_at_the_next_epoch(bench: Bench) -> None:
    fenced(bench)

    assert row(bench, MONOLITH) == (False, 2, None)


@pytest.mark.parametrize("expected", [0, 2])
def test_a_fence_at_another_epoch_is_refused(bench: Bench, expected: int) -> None:
    with pytest.raises(StaleError):
        bench.side(MONOLITH).fence(expected=expected, target=9, statement_ms=500)

    assert row(bench, MONOLITH) == (True, 1, None)


def test_a_closed_side_is_not_fenced_again(bench: Bench) -> None:
    fenced(bench)

    with pytest.raises(StaleError):
        bench.side(MONOLITH).fence(expected=2, target=3, statement_ms=500)


def test_a_lift_opens_a_fenced_side(bench: Bench) -> None:
    fenced(bench).reopen(target=3)

    assert row(bench, MONOLITH) == (True, 3, None)


def test_a_lift_of_an_open_side_raises_its_epoch_and_is_repeated_in_vain(bench: Bench) -> None:
    side = bench.side(MONOLITH)
    for _ in range(2):
        side.reopen(target=3)

    assert row(bench, MONOLITH) == (True, 3, None)


def test_a_lift_that_is_behind_is_refused_open_or_closed(bench: Bench) -> None:
    side = fenced(bench)
    with pytest.raises(StaleError):
        side.reopen(target=1)
    side.reopen(target=4)
    with pytest.raises(StaleError):
        side.reopen(target=3)

    assert row(bench, MONOLITH) == (True, 4, None)


def test_an_opening_is_seen_when_it_is_committed(bench: Bench) -> None:
    side = bench.side(SERVICE)

    side.begin_opening(target=2, statement_ms=500)
    side.still_opening()

    assert row(bench, SERVICE) == (False, 1, MONOLITH)
    side.open()
    assert row(bench, SERVICE) == (True, 2, None)


def test_an_opening_can_be_dropped(bench: Bench) -> None:
    side = bench.side(SERVICE)
    side.begin_opening(target=2, statement_ms=500)

    for _ in range(2):
        side.drop_opening()

    assert row(bench, SERVICE) == (False, 1, MONOLITH)
    side.begin_opening(target=2, statement_ms=500)
    side.open()


@pytest.mark.parametrize(("name", "target"), [(SERVICE, 0), (MONOLITH, 2)])
def test_a_side_that_is_ahead_or_open_begins_no_opening(bench: Bench, name: str, target: int) -> None:
    side = bench.side(name)
    with pytest.raises(StaleError):
        side.begin_opening(target=target, statement_ms=500)
    side.drop_opening()

    assert row(bench, name)[1] == 1
    assert bench.side(name).row() == side.row()


def test_an_opening_that_failed_opens_nothing(bench: Bench) -> None:
    side = bench.side(SERVICE)
    with pytest.raises(StaleError):
        side.begin_opening(target=0, statement_ms=500)

    with pytest.raises(LostError):
        side.open()

    assert row(bench, SERVICE) == (False, 1, MONOLITH)


def test_a_session_that_has_gone_opens_nothing(bench: Bench) -> None:
    side = bench.side(SERVICE)
    side.begin_opening(target=2, statement_ms=500)
    side.close()

    with pytest.raises(LostError):
        side.still_opening()
    with pytest.raises(LostError):
        side.open()

    assert row(bench, SERVICE) == (False, 1, MONOLITH)


def test_an_opening_blocks_others_for_a_while(bench: Bench) -> None:
    first, second = bench.side(SERVICE), bench.side(SERVICE)
    first.begin_opening(target=2, statement_ms=500)

    with pytest.raises(BlockedError):
        second.begin_opening(target=2, statement_ms=60)
    second.drop_opening()
    first.open()

    assert row(bench, SERVICE) == (True, 2, None)


def test_who_holds_tables_and_stands_still_is_ended_when_another_waits(bench: Bench) -> None:
    sleeper = bench.side(SERVICE)
    sleeper.begin_opening(target=2, statement_ms=500)

    bench.side(SERVICE).reopen(target=3)

    with pytest.raises(LostError):
        sleeper.open()
    assert row(bench, SERVICE) == (True, 3, None)


def test_a_bounce_is_for_a_closed_side_that_is_not_ahead(bench: Bench) -> None:
    bench.side(MONOLITH).bounce(SERVICE, epoch=9)
    assert row(bench, MONOLITH) == (True, 1, None)

    fenced(bench)
    bench.side(MONOLITH).bounce(SERVICE, epoch=1)
    assert row(bench, MONOLITH) == (False, 2, None)

    bench.side(MONOLITH).bounce(SERVICE, epoch=2)
    assert row(bench, MONOLITH) == (False, 2, SERVICE)

    bench.side(MONOLITH).bounce(None, epoch=2)
    assert row(bench, MONOLITH) == (False, 2, None)


def held(bench: Bench, side: str) -> bool:
    """Whether a side's events are held, as another process sees it."""
    found: SideRow | None = bench.side(side).row()
    assert found is not None
    return found.events_held


def test_events_are_held_from_the_opening_on(bench: Bench) -> None:
    side = bench.side(SERVICE)
    side.begin_opening(target=2, statement_ms=500, hold_events=True)
    assert not held(bench, SERVICE)

    side.open()

    assert held(bench, SERVICE)


def test_an_opening_that_was_dropped_holds_no_events(bench: Bench) -> None:
    side = bench.side(SERVICE)
    side.begin_opening(target=2, statement_ms=500, hold_events=True)
    side.drop_opening()

    assert not held(bench, SERVICE)


@pytest.mark.parametrize(("epoch", "released"), [(1, False), (2, True), (3, False)])
def test_events_are_released_by_who_knows_the_epoch(bench: Bench, epoch: int, released: bool) -> None:
    side = bench.side(SERVICE)
    side.begin_opening(target=2, statement_ms=500, hold_events=True)
    side.open()

    for _ in range(2):
        assert bench.side(SERVICE).release_events(epoch=epoch) is released

    assert held(bench, SERVICE) is not released


def test_a_closed_side_holds_no_events_and_releases_none(bench: Bench) -> None:
    side = bench.side(SERVICE)
    side.begin_opening(target=2, statement_ms=500, hold_events=True)
    side.open()

    side.fence(expected=2, target=3, statement_ms=500)

    assert not held(bench, SERVICE)
    assert not side.release_events(epoch=3)


def test_a_lift_holds_no_events(bench: Bench) -> None:
    fenced(bench).reopen(target=3)

    assert not held(bench, MONOLITH)


def test_an_outbox_is_counted_for_its_capability(bench: Bench) -> None:
    side = bench.side(MONOLITH)
    assert side.has_outbox
    assert side.backlog() == 0

    for _ in range(2):
        bench.tell(MONOLITH)

    assert (side.backlog(), bench.side(SERVICE).backlog()) == (2, 0)


def test_an_opened_side_forgets_where_it_bounced_to(bench: Bench) -> None:
    side = bench.side(SERVICE)
    assert row(bench, SERVICE)[2] == MONOLITH

    side.begin_opening(target=2, statement_ms=500)
    side.open()

    assert row(bench, SERVICE) == (True, 2, None)


def test_a_marker_arrives_with_the_stream(bench: Bench) -> None:
    bench.stream(runs=False)
    marker, _ = bench.side(MONOLITH).mark()
    bench.deliver(SERVICE)
    assert not bench.side(SERVICE).await_marker(marker, within=0.01)

    bench.stream(runs=True)
    bench.deliver(SERVICE)

    assert bench.side(SERVICE).await_marker(marker, within=1.0)


def test_each_marker_is_another(bench: Bench) -> None:
    side = bench.side(MONOLITH)

    assert side.mark()[0] != side.mark()[0]


def test_a_side_that_was_closed_can_be_used_again(bench: Bench) -> None:
    side = bench.side(MONOLITH)
    for _ in range(2):
        side.close()

    assert side.row() is not None


def test_a_prepared_side_goes_on_behind_the_other_s_numbers(bench: Bench) -> None:
    for _ in range(3):
        last = bench.write(MONOLITH)
    side = fenced(bench)
    _, positions = side.mark()

    service = bench.side(SERVICE)
    for _ in range(2):
        service.prepare(target=2, positions=positions)
    prepared = service.row()
    service.begin_opening(target=2, statement_ms=500)
    service.open()

    assert prepared is not None
    assert prepared.prepared == 2
    assert bench.write(SERVICE) == last + 1


@pytest.mark.parametrize(("name", "target"), [(MONOLITH, 2), (SERVICE, 0)])
def test_a_side_that_is_open_or_ahead_is_not_prepared(bench: Bench, name: str, target: int) -> None:
    with pytest.raises(StaleError):
        bench.side(name).prepare(target=target, positions={})


def test_the_marker_of_a_fence_arrives_behind_all_that_was_written(bench: Bench) -> None:
    bench.stream(runs=False)
    last = bench.write(MONOLITH)
    marker, positions = bench.side(MONOLITH).fence(expected=1, target=2, statement_ms=500)
    assert not bench.side(SERVICE).await_marker(marker, within=0.01)

    bench.stream(runs=True)
    bench.deliver(SERVICE)

    assert bench.side(SERVICE).await_marker(marker, within=1.0)
    assert list(positions.values()) == [last]


def test_nobody_is_in_the_way_of_an_idle_side(bench: Bench) -> None:
    side = bench.side(MONOLITH)

    assert list(side.blockers()) == []
    assert list(side.vacuums()) == []
    assert side.deadlock_ms() == 1000


def test_what_applications_are_told_of_reads_counts_at_the_present_epoch_and_is_taken_back(bench: Bench) -> None:
    side, terms = bench.side(MONOLITH), {"epoch": 1, "max_lag": 5.0}
    assert side.share_reads(terms, epoch=2) is False
    assert side.row().reads == {}

    for _ in range(2):
        assert side.share_reads(terms, epoch=1) is True
    assert bench.side(MONOLITH).row().reads == terms

    for _ in range(2):
        assert side.share_reads(None, epoch=9) is True
    assert bench.side(MONOLITH).row().reads == {}


def test_a_heartbeat_that_has_arrived_covers_what_was_committed_before_it(bench: Bench) -> None:
    monolith, service = bench.side(MONOLITH), bench.side(SERVICE)
    assert service.heard(1) is None
    bench.write(MONOLITH)
    before = monolith.position(1)
    for _ in range(2):
        monolith.beat(1)
    bench.write(MONOLITH)
    after = monolith.position(1)
    bench.deliver(SERVICE)

    heard = service.heard(1)

    assert heard is not None
    assert heard[0].covers(before)
    assert not heard[0].covers(after)
    assert service.heard(2) is None


def test_a_heartbeat_that_is_on_its_way_is_not_heard(bench: Bench) -> None:
    bench.stream(runs=False)
    bench.side(MONOLITH).beat(1)
    bench.deliver(SERVICE)

    assert bench.side(SERVICE).heard(1) is None
