from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from moves import NAME, Coordinator, moving, parts_of, run_recovery
from strangler.application.ending import cancel, cancellable, completable, complete
from strangler.domain.errors import MoveError, RefusedError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE


def test_complete_ends_the_way_forward_and_names_the_seams() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    parts.replication.referring.append("entry.crate")

    assert complete(parts, drop=False) == ["entry.crate"]

    assert world.moves[NAME].state is State.COMPLETED
    assert parts.replication.calls == ["end forward"]
    assert world.history[-1][1] == "completed"
    assert complete(parts, drop=False) == ["entry.crate"]


def test_what_is_still_read_is_not_dropped() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    parts.replication.referring.append("entry.crate")

    with pytest.raises(RefusedError, match=r"the monolith still reads it: entry\.crate"):
        complete(parts, drop=True)

    assert world.moves[NAME].state is State.MOVING
    assert parts.replication.calls == []


def test_the_last_seam_to_go_makes_dropping_possible() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    complete(parts, drop=False)

    complete(parts, drop=True)

    assert parts.replication.calls == ["end forward", "end forward", "drop old"]
    assert world.history[-1][1] == "completed and dropped"


@pytest.mark.parametrize(("unused", "refusal"), [(599.0, "were in use 599 s ago"), (None, "it is not known")])
def test_what_was_asked_for_a_while_ago_is_not_dropped(unused: float | None, refusal: str) -> None:
    world = moving(SERVICE)
    world.databases[MONOLITH].unused = unused
    parts = parts_of(world)

    with pytest.raises(RefusedError, match=refusal) as caught:
        complete(parts, drop=True)

    assert "--unused-for" in caught.value.remedy
    assert world.moves[NAME].state is State.MOVING
    assert parts.replication.calls == []
    complete(parts, drop=False)
    complete(parts, drop=True, unused_for=0)
    assert parts.replication.is_dropped


def test_what_something_in_the_monolith_still_reads_is_not_dropped() -> None:
    world = moving(SERVICE)
    world.databases[MONOLITH].reads = [("crate", 2.0), ("ticket", 70.0), ("visit", 601.0)]
    parts = parts_of(world)

    with pytest.raises(RefusedError, match=r"copy of crate \(and 1 other table\) was read 2 s ago") as caught:
        complete(parts, drop=True)

    assert "--unread-for" in caught.value.remedy
    assert f"strangler_check {parts.name} --before-drop" in caught.value.remedy
    assert caught.value.id == "still-needed"
    assert parts.replication.calls == []
    complete(parts, drop=False)
    with pytest.raises(RefusedError, match="copy of crate"):
        complete(parts, drop=True, unused_for=0)
    complete(parts, drop=True, unread_for=0)
    assert parts.replication.is_dropped


def test_a_refusal_to_drop_names_both_who_asks_and_what_reads() -> None:
    world = moving(SERVICE)
    world.databases[MONOLITH].unused = 5.0
    world.databases[MONOLITH].reads = [("crate", 2.0)]

    with pytest.raises(RefusedError, match=r"were in use 5 s ago, .*; the monolith's copy of crate was read 2 s ago"):
        complete(parts_of(world), drop=True)


def test_what_has_been_dropped_is_not_asked_for_again() -> None:
    world = moving(SERVICE)
    complete(parts_of(world), drop=True)
    world.databases[MONOLITH].unused = 1.0
    parts = parts_of(world)
    parts.replication.is_dropped = True

    complete(parts, drop=True)

    assert parts.replication.calls[-1] == "drop old"


@pytest.mark.parametrize("drop", [False, True])
def test_only_what_the_service_owns_is_completed(drop: bool) -> None:
    with pytest.raises(RefusedError, match="the monolith owns it") as caught:
        completable(parts_of(moving()), drop=drop)

    assert caught.value.remedy == "run `strangler switch crates` first"


@pytest.mark.parametrize("drop", [False, True])
def test_a_complete_that_was_killed_anywhere_is_run_again(drop: bool) -> None:
    for calls in itertools.count():
        world = moving(SERVICE)
        coordinator = Coordinator(world, lambda parts: complete(parts, drop=drop))
        if coordinator.run(calls):
            assert coordinator.failure is None
            break
        coordinator.die()
        run_recovery(parts_of(world))

        complete(parts_of(world), drop=drop)

        assert world.moves[NAME].state is State.COMPLETED
        assert world.databases[SERVICE].row.open
        assert world.violations == []


def test_cancel_removes_everything_and_remembers_the_epoch() -> None:
    world = moving()
    parts = parts_of(world)

    cancel(parts)

    assert world.moves == {}
    assert parts.replication.calls == ["remove"]
    assert world.history[-1] == (NAME, "cancelled", 1)
    assert world.locks == {}


def test_a_cancel_that_was_killed_anywhere_is_run_again() -> None:
    for calls in itertools.count():
        world = moving()
        coordinator = Coordinator(world, cancel)
        if coordinator.run(calls):
            assert coordinator.failure is None
            break
        coordinator.die()

        if NAME in world.moves:
            cancel(parts_of(world))

        assert world.moves == {}
        assert max(epoch or 0 for _, _, epoch in world.history) == 1
        assert world.violations == []


def test_a_start_that_was_interrupted_can_be_cancelled() -> None:
    world = moving()
    world.moves[NAME] = replace(world.moves[NAME], state=State.STARTING)

    cancel(parts_of(world))

    assert world.moves == {}


def test_what_the_service_owns_is_not_cancelled() -> None:
    with pytest.raises(RefusedError, match="the service owns it"):
        cancellable(parts_of(moving(SERVICE)))


@pytest.mark.parametrize(("queued", "left"), [({"waiting": 2, "failing": 1}, 3), ({"failing": 1}, 1)])
def test_deletions_that_wait_are_not_forgotten(queued: dict[str, int], left: int) -> None:
    parts = parts_of(moving())
    parts.replication.queued.update(queued, swept=9)

    with pytest.raises(RefusedError, match=f"{left} deletions? that came by the stream waits?"):
        cancel(parts)

    assert parts.replication.calls == []


@pytest.mark.parametrize("state", [None, State.COMPLETED])
def test_what_is_not_under_way_is_not_cancelled(state: State | None) -> None:
    world = moving()
    if state is None:
        world.moves.clear()
    else:
        world.moves[NAME] = replace(world.moves[NAME], state=state)

    with pytest.raises(RefusedError, match="cannot cancel: the move "):
        cancel(parts_of(world))


@pytest.mark.parametrize(("owner", "end"), [(MONOLITH, cancel), (SERVICE, lambda parts: complete(parts, drop=True))])
def test_an_end_that_was_overtaken_destroys_nothing(owner: str, end: object) -> None:
    world = moving(owner)
    sleeper = Coordinator(world, end)
    while sleeper.calls.count("move") < 2:
        sleeper.run(1)
    sleeper.fall_asleep()
    world.moves[NAME] = replace(world.moves[NAME], epoch=world.moves[NAME].epoch + 2)
    sleeper.run()

    assert isinstance(sleeper.failure, MoveError)
    assert world.moves[NAME].state is State.MOVING
    assert all(database.row is not None for database in world.databases.values())
