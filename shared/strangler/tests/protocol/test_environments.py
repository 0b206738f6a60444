"""Slots, origins and sessions belong to the server: two environments on one server do not know of each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers import Cluster, eventually
from strangler.adapters.postgres.copies import copying
from strangler.adapters.postgres.session.connection import connect
from strangler.application.ending import cancel
from strangler.application.status import status
from strangler.domain import names
from strangler.domain.errors import PreflightError
from yard import SIDES, Yard, contents, footprint, yard

SLOTS = "SELECT slot_name, database FROM pg_replication_slots WHERE slot_name LIKE 'strangler%' ORDER BY 1"


@pytest.fixture
def environments(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Yard, Yard]]:
    """The same strangler.toml twice, four databases, one server."""
    with ExitStack() as made:
        yield tuple(  # type: ignore[misc]
            made.enter_context(yard((cluster, cluster), tmp_path, environment=name)) for name in ("_test", "_live")
        )


def runs(made: Yard) -> bool:
    with made.working() as parts:
        return all(stream.active and stream.ready and not stream.lost for stream in parts.replication.streams())


def own_footprint(made: Yard) -> list[set[str]]:
    """Without the origins of other databases of the server."""
    return [
        {
            one
            for one in found
            if not one.startswith("origin") or names.of_database(one.removeprefix("origin "), database)
        }
        for found, database in zip(footprint(made), made.databases, strict=True)
    ]


def give_up(made: Yard) -> None:
    with made.working() as parts:
        cancel(parts)


def write(made: Yard, side: str) -> None:
    """A row that is written now is on the other side a moment later."""
    with made.side(side) as here, made.side(SIDES[1 - SIDES.index(side)]) as there:
        here.execute("INSERT INTO visit (took, code) VALUES ('1 day', 'now')")
        eventually(lambda: contents(there) == contents(here))


def test_both_go_the_whole_way_without_touching_each_other(environments: tuple[Yard, Yard]) -> None:
    first, second = environments
    first.start()
    second.start()
    eventually(lambda: runs(first) and runs(second))
    assert first.verify().differing == 0
    assert second.verify().differing == 0
    first.switch()
    write(first, "service")
    write(second, "monolith")
    second.switch()
    assert first.doctor() == []
    assert second.doctor() == []
    second.switch("reverse")

    before = own_footprint(first)
    give_up(second)

    assert own_footprint(first) == before
    assert runs(first)
    write(first, "service")
    assert first.doctor() == []
    assert second.doctor() == []
    first.switch("reverse")
    give_up(first)
    with first.monolith() as connection:
        assert connection.execute(SLOTS).fetchall() == []
        assert connection.execute("SELECT 1 FROM pg_replication_origin WHERE roname LIKE 'strangler%'").fetchall() == []


def test_a_start_that_begins_anew_ends_nobody_else_s_copy(environments: tuple[Yard, Yard]) -> None:
    first, second = environments
    first.start()
    with connect(first.endpoints.databases["depot"], purpose=copying.purpose("crates")) as theirs:
        second.start()
        with second.monolith() as connection:
            connection.execute("UPDATE strangler.move SET state = 'starting'")

        second.start()

        assert theirs.execute("SELECT 1").fetchone() == (1,)
    assert runs(first)
    write(first, "monolith")


@pytest.mark.parametrize("kind", ["of another database", "physical"])
def test_a_slot_of_the_wanted_name_that_is_another_s_is_refused_by_name(
    environments: tuple[Yard, Yard], kind: str
) -> None:
    first, second = environments
    with first.working() as parts:
        name = parts.replication.reverse.name  # type: ignore[attr-defined]
    with second.monolith() as connection:
        make = "logical" if kind != "physical" else "physical"
        plugin = ", 'pgoutput'" if kind != "physical" else ""
        connection.execute(f"SELECT pg_create_{make}_replication_slot('{name}'{plugin})".encode())
        try:
            before = footprint(first)
            with pytest.raises(PreflightError) as caught:
                first.start()
            assert footprint(first) == before
        finally:
            connection.execute(f"SELECT pg_drop_replication_slot('{name}')".encode())
    said = f"the database {second.databases[0]}'s" if kind != "physical" else "a physical one"
    assert f"the slot {name} of this server is {said}" in caught.value.message


def rename_to_before(made: Yard) -> None:
    """Renames as an older version did it: publications, slots and subscriptions without a database's name."""
    with made.working() as parts:
        streams = [parts.replication.forward, parts.replication.reverse]  # type: ignore[attr-defined]
    for stream, sender, receiver in zip(streams, SIDES, reversed(SIDES), strict=True):
        new, old = stream.known_as
        with made.side(sender) as here, made.side(receiver) as there:
            there.execute(f"ALTER SUBSCRIPTION {new} DISABLE".encode())
            free = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{new}' AND NOT active".encode()
            eventually(lambda here=here, free=free: here.execute(free).fetchone())  # type: ignore[misc]
            here.execute(f"ALTER PUBLICATION {new} RENAME TO {old}".encode())
            here.execute(f"SELECT pg_copy_logical_replication_slot('{new}', '{old}')".encode())
            here.execute(f"SELECT pg_drop_replication_slot('{new}')".encode())
            there.execute(f"ALTER SUBSCRIPTION {new} SET (slot_name = '{old}')".encode())
            there.execute(f"ALTER SUBSCRIPTION {new} SET PUBLICATION {old} WITH (refresh = false)".encode())
            there.execute(f"ALTER SUBSCRIPTION {new} RENAME TO {old}".encode())
            there.execute(f"ALTER SUBSCRIPTION {old} ENABLE".encode())


def test_a_move_that_began_under_the_older_names_goes_on_and_is_ended(environments: tuple[Yard, Yard]) -> None:
    first, second = environments
    first.start()
    rename_to_before(first)
    eventually(lambda: runs(first))
    second.start()

    assert first.verify().differing == 0
    first.switch()
    write(first, "service")
    assert first.doctor() == []
    first.switch("reverse")
    give_up(first)

    assert first.doctor() == []
    assert runs(second)
    with first.monolith() as connection:
        assert {database for _, database in connection.execute(SLOTS).fetchall()} == set(second.databases)


def test_the_status_of_one_whose_slot_has_been_taken_says_so(environments: tuple[Yard, Yard]) -> None:
    first, second = environments
    first.start()
    rename_to_before(first)
    old = "strangler_crates_forward"
    with first.monolith() as here, second.monolith() as theirs, first.service() as there:
        there.execute(f"ALTER SUBSCRIPTION {old} DISABLE".encode())
        free = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{old}' AND NOT active".encode()
        eventually(lambda: here.execute(free).fetchone())
        here.execute(f"SELECT pg_drop_replication_slot('{old}')".encode())
        theirs.execute(f"SELECT pg_create_logical_replication_slot('{old}', 'pgoutput')".encode())
        there.execute(f"ALTER SUBSCRIPTION {old} ENABLE".encode())
        try:
            with first.working() as parts:
                found = status(parts)

            assert "the forward stream is lost" in found.problems
            assert ("stream", "the forward stream is lost") in {(one.id, one.message) for one in first.doctor()}
            give_up(first)
            assert ("strangler_crates_forward", second.databases[0]) in here.execute(SLOTS).fetchall()
        finally:
            theirs.execute(f"SELECT pg_drop_replication_slot('{old}')".encode())
