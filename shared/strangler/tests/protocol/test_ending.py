"""The two ends of a move on two servers, and the findings of `doctor` in between."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from psycopg import pq
from servers import Cluster, eventually
from strangler.application.ending import cancel, cancellable, complete
from strangler.application.start import start
from strangler.application.status import status
from strangler.domain.errors import MoveError, RefusedError
from yard import Yard, contents, footprint, refused

SEAM = 'ALTER TABLE audit."Entry" DROP CONSTRAINT "Entry_crate_fkey"'


def completed(made: Yard, *, drop: bool = False, unused_for: float = 0) -> list[str]:
    with made.working() as parts:
        return complete(parts, drop=drop, unused_for=unused_for, unread_for=unused_for)


def cancelled(made: Yard) -> None:
    with made.working() as parts:
        cancel(parts)


def without_the_tool(found: set[str]) -> set[str]:
    """A footprint without the schemas that stay for the next move."""
    return {line for line in found if "strangler." not in line and line != "schema strangler"}


def streams(made: Yard) -> dict[str, bool]:
    with made.working() as parts:
        return {stream.direction: stream.exists for stream in parts.replication.streams()}


def test_complete_ends_the_way_forward_and_keeps_the_way_back_for_its_seam(moving: Yard) -> None:
    moving.switch()

    assert completed(moving) == ["audit.Entry.crate"]

    assert streams(moving) == {"forward": False, "reverse": True}
    with moving.service() as there, moving.monolith() as here:
        there.execute('UPDATE "Crate" SET weight = weight + 1')
        moving.catch_up("service")
        assert contents(here) == contents(there)
        assert refused(here, "DELETE FROM visit") == "SF001"
    assert moving.verify().differing == 0
    assert moving.doctor() == []
    assert completed(moving) == ["audit.Entry.crate"]


def test_nothing_moves_after_the_end(moving: Yard) -> None:
    moving.switch()
    completed(moving)

    for act in (lambda: moving.switch("reverse"), moving.start, lambda: cancelled(moving)):
        with pytest.raises(RefusedError, match="the move is completed"):
            act()


def test_the_old_tables_are_not_dropped_while_a_seam_is_left(moving: Yard) -> None:
    moving.switch()

    with pytest.raises(RefusedError, match=r"the monolith still reads it: audit\.Entry\.crate"):
        completed(moving, drop=True)

    assert streams(moving) == {"forward": True, "reverse": True}
    moving.switch("reverse")


def test_the_old_tables_are_not_dropped_while_a_view_needs_them(moving: Yard) -> None:
    moving.switch()
    with moving.monolith() as connection:
        connection.execute(SEAM)
        connection.execute('CREATE VIEW heavy AS SELECT id FROM "Crate" WHERE weight > 100')

        with pytest.raises(RefusedError, match="view heavy depends on table"):
            completed(moving, drop=True)

        assert streams(moving)["reverse"]
        connection.execute("DROP VIEW heavy")
    completed(moving, drop=True)


def test_the_old_tables_go_once_nothing_reads_them(moving: Yard) -> None:
    moving.switch()
    with moving.monolith() as connection:
        connection.execute(SEAM)

    for _ in range(2):  # like a command that was killed on the way and is run again
        assert completed(moving, drop=True) == []

    assert streams(moving) == {"forward": False, "reverse": False}
    with moving.monolith() as here, moving.service() as there:
        for name in ('"Crate"', "reading", "reading_old", 'bays."Bay slot"', 'bays."reading 2024"', "ticket", "visit"):
            assert here.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,)
        there.execute('UPDATE "Crate" SET weight = 1')
        assert refused(there, "TRUNCATE visit") is None  # no stream is left that would not carry it
    # No column owned it, so it was not dropped with its table.
    assert [(finding.id, finding.place) for finding in moving.doctor()] == [("unplaced", "sequence visit_codes")]
    with pytest.raises(RefusedError, match="there is no copy to verify"):
        moving.verify()
    with moving.working() as parts:
        assert status(parts).owner == "service"


def test_the_old_tables_are_not_dropped_while_requests_come_to_the_old_routes(
    moving: Yard, clusters: tuple[Cluster, Cluster]
) -> None:
    moving.switch()
    with moving.monolith() as connection:
        connection.execute(SEAM)
        # Unused since the switch, which was a short time ago.
        with pytest.raises(RefusedError, match=r"were in use \d+ s ago, and must have been unused for 600 s"):
            completed(moving, drop=True, unused_for=600)
        connection.execute("UPDATE strangler.used SET used_at = now() - interval '11 min'")
        connection.execute("CREATE ROLE visitor LOGIN PASSWORD 'visitor'")
        try:
            with clusters[0].connect(moving.databases[0], user="visitor") as visitor:
                visitor.execute("SELECT strangler.note_use('crates'), strangler.note_use('another')")
                assert refused(visitor, "DELETE FROM strangler.used") == "42501"
        finally:
            connection.execute("DROP ROLE visitor")
        with pytest.raises(RefusedError, match=r"were in use \d+ s ago"):
            completed(moving, drop=True, unused_for=600)
        assert connection.execute("SELECT capability FROM strangler.used").fetchall() == [("crates",)]
        assert streams(moving) == {"forward": True, "reverse": True}

        connection.execute("UPDATE strangler.used SET used_at = now() - interval '11 min'")
        connection.execute("SELECT pg_stat_reset()")  # a verify has read all of it
        completed(moving, drop=True, unused_for=600)


def test_the_old_tables_are_not_dropped_while_something_in_the_monolith_reads_them(moving: Yard) -> None:
    moving.switch()
    with moving.monolith() as connection, moving.service() as owner:
        connection.execute(SEAM)
        connection.execute("UPDATE strangler.used SET used_at = now() - interval '11 min'")
        connection.execute("SELECT pg_stat_reset()")
        connection.execute("SELECT count(*) FROM visit")
        connection.execute("SELECT pg_stat_force_next_flush()")
        with pytest.raises(
            RefusedError, match=r"copy of visit was read \d+ s ago, and must have been unread for 600 s"
        ):
            completed(moving, drop=True, unused_for=600)
        assert connection.execute("SELECT to_regclass('visit') IS NULL").fetchone() == (False,)

        connection.execute("SELECT pg_stat_reset()")
        # What the stream looks up by the key is no reading.
        owner.execute('UPDATE "Crate" SET weight = 7')
        looked_up = """SELECT 1 FROM pg_stat_user_indexes WHERE indexrelname = 'Crate_pkey' AND idx_scan > 0"""
        eventually(lambda: connection.execute(looked_up).fetchone())
        completed(moving, drop=True, unused_for=600)


@pytest.mark.parametrize("first", [False, True])
def test_who_keeps_a_note_of_use_open_keeps_nobody_waiting_and_drops_nothing(moving: Yard, first: bool) -> None:
    moving.switch()
    with moving.monolith() as connection, moving.monolith() as holder:
        connection.execute(SEAM)
        connection.execute(
            "DELETE FROM strangler.used" if first else "UPDATE strangler.used SET used_at = '2020-01-01'"
        )
        holder.autocommit = False
        holder.execute("SELECT strangler.note_use('crates')")

        connection.execute("SET statement_timeout = '20s'")
        connection.execute("SELECT strangler.note_use('crates')")

        if not first:
            with pytest.raises(RefusedError, match="were in use 0 s ago"):
                completed(moving, drop=True, unused_for=600)


def test_the_owner_s_own_requests_are_no_use_of_old_routes(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("SELECT strangler.note_use('crates')")

        assert connection.execute("SELECT count(*) FROM strangler.used").fetchone() == (0,)


def test_only_the_service_s_capability_is_completed(moving: Yard) -> None:
    with pytest.raises(RefusedError, match="the monolith owns it"):
        completed(moving)


@pytest.mark.parametrize("before", ["started", "switched and reversed", "copy interrupted"])
def test_cancel_leaves_nothing(ground: Yard, before: str) -> None:
    monolith, service = footprint(ground)
    if before == "copy interrupted":
        _interrupt(ground)
    else:
        ground.start()
        ground.verify()
    if before == "switched and reversed":
        ground.switch()
        ground.switch("reverse")
    cancelled(ground)

    assert [without_the_tool(found) for found in footprint(ground)] == [monolith, service]
    assert ground.doctor() == []
    with ground.service() as there, ground.monolith() as here:
        assert not any(contents(there).values())
        assert refused(here, 'UPDATE "Crate" SET weight = 1') is None
        assert refused(there, "DELETE FROM visit") is None
        for connection in (here, there):
            for table in ("side", "marker", "orphan", "deferred", "swept", "used"):
                assert connection.execute(f"SELECT count(*) FROM strangler.{table}".encode()).fetchone() == (0,)


def _interrupt(made: Yard) -> None:
    def kill(*_: int) -> None:
        raise KeyboardInterrupt

    with made.working() as parts, pytest.raises(KeyboardInterrupt):
        start(parts, progress=kill, boundary=lambda _: None)


def test_a_move_begins_again_after_a_cancel_at_an_epoch_of_its_own(moving: Yard) -> None:
    moving.switch()
    moving.switch("reverse")
    cancelled(moving)

    moving.start()

    with moving.working() as parts:
        assert [side.row().epoch for side in parts.sides.values()] == [4, 4]
    moving.verify()
    moving.switch()
    assert moving.verify().differing == 0


def test_a_ledger_that_was_put_back_deletes_nothing_of_an_owner(moving: Yard) -> None:
    moving.switch()
    with moving.monolith() as connection:
        connection.execute("UPDATE strangler.move SET owner = 'monolith', epoch = 1")
    with moving.service() as there:
        before = contents(there)

        with moving.working() as parts, pytest.raises(MoveError, match="which this ledger"):
            cancel(parts)
        with moving.working() as parts, pytest.raises(RefusedError, match="what is there is no copy"):
            cancellable(parts)

        assert contents(there) == before
        assert there.execute("SELECT open, epoch FROM strangler.side").fetchall() == [(True, 2)]


def test_cancel_waits_for_the_writers_of_the_owner(moving: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strangler.adapters.postgres.tables.locks.TRY_SECONDS", 0.2)
    with moving.monolith() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE visit SET code = 'held'")
        with pytest.raises(MoveError, match="UPDATE visit SET code = 'held'"):
            cancelled(moving)
        connection.execute("COMMIT")

    cancelled(moving)

    assert moving.doctor() == []


def test_cancel_is_refused_while_the_service_owns_or_a_deletion_waits(moving: Yard) -> None:
    moving.switch()
    with pytest.raises(RefusedError, match="the service owns it"):
        cancelled(moving)
    with moving.service() as there:
        there.execute('DELETE FROM ticket; DELETE FROM bays."Bay slot"; DELETE FROM "Crate" WHERE number < 4')
    moving.catch_up("service")
    moving.switch("reverse")

    with pytest.raises(RefusedError, match="3 deletions that came by the stream wait"):
        cancelled(moving)

    with moving.monolith() as here:
        here.execute("DELETE FROM strangler.orphan")
    cancelled(moving)


def test_another_capability_with_a_longer_name_is_left_alone(moving: Yard) -> None:
    with moving.service() as connection:
        connection.execute("SELECT pg_replication_origin_create('strangler_crates_old_copy_0')")
        connection.execute("CREATE PUBLICATION strangler_crates_old_reverse")

        assert {(finding.id, finding.message) for finding in moving.doctor() if finding.place == "depot"} == {
            ("leaving", "origin strangler_crates_old_copy_0"),
            ("leaving", "publication strangler_crates_old_reverse"),
        }
        cancelled(moving)

        assert connection.execute("SELECT pg_replication_origin_oid('strangler_crates_old_copy_0')").fetchone() != (
            None,
        )
        connection.execute("SELECT pg_replication_origin_drop('strangler_crates_old_copy_0')")


def ledger_is_lost(made: Yard) -> None:
    with made.monolith() as connection:
        connection.execute("DELETE FROM strangler.move")


def both_are_open(made: Yard) -> None:
    with made.service() as connection:
        connection.execute("SELECT strangler.open_side('crates', 1)")


def none_is_open(made: Yard) -> None:
    with made.monolith() as connection:
        connection.execute("SELECT strangler.close_side('crates', 1, 1)")


def stream_does_not_run(made: Yard) -> None:
    with made.service() as connection:
        connection.execute("ALTER SUBSCRIPTION strangler_yard_crates_forward DISABLE")
    with made.monolith() as connection:
        slots = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'strangler_yard_crates_forward' AND active"
        eventually(lambda: not connection.execute(slots).fetchone())


def slot_is_gone(made: Yard) -> None:
    stream_does_not_run(made)
    with made.monolith() as connection:
        connection.execute("SELECT pg_drop_replication_slot('strangler_yard_crates_forward')")


MET = "inserts get numbers that rows have"


def sequence_is_behind(made: Yard) -> None:
    with made.monolith() as connection:
        connection.execute('INSERT INTO ticket (id, number, crate) SELECT 500, 1, id FROM "Crate" LIMIT 1')
        connection.execute("UPDATE reading SET position = 600 WHERE sensor = 9 AND at = 'infinity'")
    made.catch_up("monolith")


def table_is_new(made: Yard) -> None:
    with made.monolith() as connection:
        connection.execute('CREATE TABLE "New one" (id int PRIMARY KEY)')


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (both_are_open, {("owner", "crates", "open on both sides: monolith, service")}),
        (none_is_open, {("owner", "crates", "open on no side")}),
        (table_is_new, {("unplaced", "New one", "no capability has it and it is not listed as staying")}),
        (
            sequence_is_behind,
            {
                ("sequence", "crates", f"public.ticket.id stands at 30 and the table at 500: {MET}"),
                ("sequence", "crates", f'public.reading."position" stands at 62 and the table at 600: {MET}'),
            },
        ),
        (
            slot_is_gone,
            {
                ("stream", "crates", "the forward stream is lost"),
                ("standing", "crates", "monolith: the slot strangler_yard_crates_forward is gone"),
                ("standing", "crates", "service: the subscription strangler_yard_crates_forward is disabled"),
            },
        ),
    ],
)
def test_doctor_finds(moving: Yard, damage: Callable[[Yard], None], expected: set[tuple[str, str, str]]) -> None:
    damage(moving)

    findings = moving.doctor()

    assert {(finding.id, finding.place, finding.message) for finding in findings} == expected
    assert all(finding.hint for finding in findings)


def test_doctor_finds_a_stream_that_does_not_run_and_the_wal_it_keeps(moving: Yard) -> None:
    stream_does_not_run(moving)

    found = {(finding.id, finding.message.partition(" and keeps")[0]) for finding in moving.doctor()}

    assert ("wal", "slot strangler_yard_crates_forward has no reader") in found
    assert {name for name, _ in found} == {"wal", "stream", "standing"}


def test_doctor_finds_what_no_move_knows(moving: Yard) -> None:
    ledger_is_lost(moving)

    found = {(finding.place, finding.message) for finding in moving.doctor() if finding.id == "leaving"}

    assert found >= {
        ("yard", "slot strangler_yard_crates_forward"),
        ("depot", "subscription strangler_yard_crates_forward"),
        ("yard", "publication strangler_yard_crates_forward"),
        ("depot", "slot strangler_depot_crates_reverse"),
        ("yard", "subscription strangler_depot_crates_reverse"),
        ("depot", "origin strangler_depot_crates_copy_0"),
        ("yard", 'trigger strangler_fence on "Crate"'),
        ("yard", 'trigger strangler_orphan on "Crate"'),
        ("depot", 'trigger strangler_replica_fence on bays."reading 2024"'),
        ("depot", "trigger strangler_replica_truncate on visit"),
        ("yard", "side row crates"),
        ("depot", "side row crates"),
    }


def test_doctor_does_not_stumble_over_a_table_that_is_gone(moving: Yard) -> None:
    with moving.service() as connection:
        connection.execute("DROP TABLE visit")

    assert {(finding.id, finding.message) for finding in moving.doctor()} == {
        ("drift", "there is no table visit in the database depot"),
        ("standing", "service: public.visit is no longer there"),
    }


def test_doctor_is_content_before_any_move(ground: Yard) -> None:
    assert ground.doctor() == []


def test_a_slot_is_dropped_though_its_subscriber_connects_again_at_once(moving: Yard) -> None:
    """As the monolith does which a copied ledger has been taken from."""
    slot = "SELECT slot_name FROM pg_replication_slots WHERE slot_name ~ 'reverse$' AND database = current_database()"
    with moving.monolith() as here, moving.service() as there:
        for (name,) in here.execute("SELECT subname FROM pg_subscription WHERE subname ~ 'reverse$'").fetchall():
            here.execute(f"ALTER SUBSCRIPTION {name} DISABLE".encode())
        row = there.execute(slot.encode()).fetchone()
        assert row is not None
        eventually(lambda: not there.execute("SELECT FROM pg_replication_slots WHERE active").fetchone())
        with clinging(moving.clusters[1].dsn(moving.databases[1]), row[0]) as connections:
            eventually(lambda: connections)

            cancelled(moving)

            assert there.execute(slot.encode()).fetchone() is None


@contextmanager
def clinging(dsn: str, slot: str) -> Iterator[list[int]]:
    """Whoever ends its walsender finds another one; the processes that it has had."""
    over, had = threading.Event(), list[int]()
    start = f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '4', publication_names '{slot}')"

    def cling() -> None:
        while not over.is_set():
            connection = pq.PGconn.connect(f"{dsn} replication=database".encode())
            if connection.exec_(start.encode()).status == pq.ExecStatus.COPY_BOTH:
                had.append(connection.backend_pid)
                with suppress(psycopg.OperationalError):
                    while not over.is_set():
                        select.select([connection.socket], [], [], 0.05)
                        connection.consume_input()
            connection.finish()

    thread = threading.Thread(target=cling)
    thread.start()
    try:
        yield had
    finally:
        over.set()
        thread.join(60)
