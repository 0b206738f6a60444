"""`start` on two servers: the copy, its fences, and the leavings of a start that was killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from servers import eventually
from strangler.application import start as starting
from strangler.application.start import start
from strangler.domain.errors import MoveError, RefusedError, StranglerError
from strangler.domain.phase import State
from strangler.domain.project import Reference
from strangler.ports.replication import Patience
from strangler.ports.side import StaleError
from yard import ROOTS, Yard, contents, footprint, refused

BOUNDARIES = [f"{moment}:{step.name}" for step in starting.STEPS for moment in ("before", "after")]
WRITES = {
    '"Crate"': 'UPDATE "Crate" SET weight = weight',
    'bays."Bay slot"': "INSERT INTO bays.\"Bay slot\" (lane, place) VALUES ('Z', 9)",
    "reading": "INSERT INTO reading (sensor, at, value) VALUES (1, now(), 1)",
    "reading_old": "UPDATE reading_old SET value = 1",
    'bays."reading 2024"': 'TRUNCATE bays."reading 2024"',
    "ticket": "TRUNCATE ticket",
    "visit": "DELETE FROM visit",
}


class Killed(BaseException):
    """An exception in place of the end of a command's process."""


def killed_at(made: Yard, boundary: str) -> None:
    """Runs a start that ends at a boundary; its sessions end with it."""

    def kill(name: str) -> None:
        if name == boundary:
            raise Killed

    with pytest.raises(Killed), made.working() as parts:
        start(parts, progress=lambda *_: None, boundary=kill)


@contextmanager
def writers(made: Yard) -> Iterator[None]:
    """An application at work on the monolith's tables, as long as the context is open."""
    over = threading.Event()
    failures: list[psycopg.Error] = []

    def write() -> None:
        try:
            with made.monolith() as connection:
                number = 0
                while not over.is_set():
                    number += 1
                    with connection.transaction():
                        connection.execute(
                            'INSERT INTO "Crate" ("Label", id, weight, seen) '
                            "VALUES (%s, gen_random_uuid(), 1, clock_timestamp())",
                            (f"written {number}",),
                        )
                        connection.execute(
                            "INSERT INTO reading (sensor, at, value) VALUES (7, clock_timestamp(), %s)", (number,)
                        )
                    connection.execute('UPDATE "Crate" SET weight = weight + 1 WHERE weight < 100')
                    connection.execute("DELETE FROM visit WHERE id IN (SELECT min(id) FROM visit)")
                    connection.execute("INSERT INTO visit (took) VALUES ('1 day')")
        except psycopg.Error as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not failures


def test_rows_that_change_while_they_are_copied_arrive_once(ground: Yard) -> None:
    with writers(ground):
        ground.start()
        assert ground.verify().differing == 0

    assert ground.verify().differing == 0
    with ground.monolith() as here, ground.service() as there:
        assert contents(there) == contents(here)


def test_indexes_and_constraints_are_back_after_the_copy(ground: Yard) -> None:
    before = footprint(ground)[1]

    ground.start()

    assert before <= footprint(ground)[1]
    with ground.service() as connection:
        assert connection.execute("SELECT count(*) FROM strangler.deferred").fetchone() == (0,)


def test_the_copy_refuses_every_write_of_an_application(moving: Yard) -> None:
    with moving.service() as connection:
        states = {table: refused(connection, statement) for table, statement in WRITES.items()}
        assert set(states.values()) == {"SF001"}, states
        assert refused(connection, 'TRUNCATE "Crate" CASCADE') == "SF001"
        assert refused(connection, "COPY visit (took) FROM PROGRAM 'echo \"1 day\"'") == "SF001"
        assert refused(connection, 'SELECT * FROM "Crate" FOR UPDATE') is None
        with pytest.raises(psycopg.Error) as caught:
            connection.execute('DELETE FROM bays."Bay slot"')

    assert caught.value.diag.message_detail == "crates"
    assert caught.value.diag.message_primary == 'crates is not open here: write on bays."Bay slot" refused'


def test_the_owner_takes_every_write_of_an_application_but_a_truncate(moving: Yard) -> None:
    with moving.monolith() as connection:
        for statement in WRITES.values():
            expected = "SF003" if statement.startswith("TRUNCATE") else None
            assert refused(connection, statement) == expected, statement
    moving.catch_up("monolith")


def test_the_owner_refuses_what_a_stream_would_write(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("SET session_replication_role = replica")
        states = {
            table: refused(connection, f"DELETE FROM ONLY {table}")
            for table in ('"Crate"', 'bays."Bay slot"', "reading_old", 'bays."reading 2024"', "reading_rest", "visit")
        }
        assert set(states.values()) == {"SF001"}, states
        assert refused(connection, "UPDATE ticket SET number = 6") == "SF001"
        assert refused(connection, "INSERT INTO visit (took) VALUES ('1 day')") == "SF001"
        for root in ROOTS:
            assert refused(connection, f"TRUNCATE {root} CASCADE") == "SF001"
        assert refused(connection, "TRUNCATE reading_old") == "SF001"


def test_a_mistaken_write_on_the_copy_does_not_empty_the_owner(moving: Yard) -> None:
    with moving.service() as there, moving.monolith() as here:
        before = contents(here)
        there.execute("SET session_replication_role = replica")
        there.execute("DELETE FROM visit")
        # The apply worker of the way back stops at the fence, again and again.
        eventually(lambda: _errors(moving) > 0)

        assert contents(here) == before


def _errors(made: Yard) -> int:
    with made.working() as parts:
        return {stream.direction: stream.errors for stream in parts.replication.streams()}["reverse"]


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_start_that_was_killed_begins_anew(ground: Yard, boundary: str) -> None:
    killed_at(ground, boundary)
    with ground.monolith() as connection:
        connection.execute("DELETE FROM ticket WHERE id % 2 = 0")
        connection.execute('UPDATE "Crate" SET weight = weight + 1')
        connection.execute("INSERT INTO visit (took) VALUES ('1 year')")

    ground.start()

    assert ground.verify().differing == 0
    assert ground.doctor() == []
    ground.switch()
    with ground.service() as there:
        there.execute("INSERT INTO visit (took) VALUES ('2 years')")
    assert ground.verify().differing == 0


def test_a_start_that_was_killed_in_its_copy_begins_anew(ground: Yard) -> None:
    def kill(*_: int) -> None:
        raise Killed

    with ground.working() as parts, pytest.raises(Killed):
        start(parts, progress=kill, boundary=lambda _: None)

    indexes = footprint(ground)[1]
    ground.start()

    assert len(footprint(ground)[1]) > len(indexes)
    assert ground.verify().differing == 0


def test_a_starter_that_slept_finds_itself_behind(ground: Yard) -> None:
    with ground.working() as sleeper:

        def sleep(name: str) -> None:
            if name == "before:copy rows":
                sleeper.ledger.close()  # ends its session, and with it its right to act
                ground.start()
                ground.verify()
                ground.switch()

        with pytest.raises(StaleError):
            start(sleeper, progress=lambda *_: None, boundary=sleep)

        with pytest.raises(StaleError):
            sleeper.replication.raise_fences(epoch=1, patience=Patience())

    with ground.working() as parts:
        assert {name: side.row().open for name, side in parts.sides.items()} == {"monolith": False, "service": True}
    assert ground.verify().differing == 0


def test_a_starter_that_slept_in_its_copy_leaves_the_new_owner_its_fences(ground: Yard) -> None:
    with ground.working() as sleeper:

        def sleep(*_: int) -> None:
            if sleeper.ledger.move("crates").state is State.STARTING:
                sleeper.ledger.close()
                ground.start()
                ground.verify()
                ground.switch()

        with pytest.raises(StranglerError):
            start(sleeper, progress=sleep, boundary=lambda _: None)
        for late in (
            lambda: sleeper.replication.copy(lambda *_: None, Patience()),
            sleeper.replication.finish_copy,
        ):
            with pytest.raises(StaleError):
                late()

    with ground.service() as there:
        assert refused(there, WRITES["visit"]) is None
    assert ground.doctor() == []
    assert ground.verify().differing == 0


def test_a_move_is_started_once(moving: Yard) -> None:
    with pytest.raises(RefusedError) as caught:
        moving.start()

    assert caught.value.message == "cannot start: the move has been started already, and both streams run"
    assert "{" not in caught.value.remedy


def test_fences_wait_for_the_writers_and_let_them_pass(ground: Yard) -> None:
    with ground.monolith() as long, ground.monolith() as short:
        long.execute("BEGIN")
        long.execute("UPDATE visit SET code = 'x'")
        thread = threading.Thread(target=ground.start)
        thread.start()
        with ground.monolith() as watch:
            waits = (
                "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'strangler%' AND wait_event_type = 'Lock'"
            )
            eventually(lambda: watch.execute(waits).fetchone())
        # Queued behind the tool, but for a shorter time than the tool's one try.
        short.execute("SET statement_timeout = '900ms'")
        short.execute("UPDATE ticket SET number = 6")
        long.execute("COMMIT")
        thread.join()

    assert ground.verify().differing == 0


def test_fences_that_get_no_lock_name_who_holds_it(ground: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strangler.adapters.postgres.tables.locks.SAY_SECONDS", 0.1)
    said: list[str] = []
    with ground.monolith() as long:
        long.execute("BEGIN")
        long.execute("UPDATE visit SET code = 'held'")

        with pytest.raises(MoveError, match=r"within 2 s\n    held by pid .* UPDATE visit SET code = 'held'"):
            ground.start(patience=Patience(2.0, said.append))

    assert all("waiting for tables at postgresql://" in one and "'held'" in one for one in said)
    assert said


def test_a_start_ends_what_one_before_has_left_at_work(ground: Yard) -> None:
    left = psycopg.connect(
        ground.endpoints.databases["depot"], application_name="strangler copy crates", autocommit=True
    )
    left.execute("SELECT pg_replication_origin_create('strangler_depot_crates_copy_0')")
    left.execute("SELECT pg_replication_origin_session_setup('strangler_depot_crates_copy_0')")

    ground.start()

    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    assert ground.verify().differing == 0


def test_time_limits_of_an_administrator_are_not_the_tool_s(ground: Yard) -> None:
    limits = {"statement_timeout": "100ms", "lock_timeout": "5ms", "idle_in_transaction_session_timeout": "1ms"}
    for side, database in zip(("monolith", "service"), ground.databases, strict=True):
        with ground.side(side) as connection:
            for name, value in limits.items():
                connection.execute(f"ALTER DATABASE {database} SET {name} = '{value}'".encode())
    try:
        ground.move_to_service()
        assert ground.verify().differing == 0
    finally:
        for cluster, database in zip(ground.clusters, ground.databases, strict=True):
            with cluster.connect() as connection:
                connection.execute(f"ALTER DATABASE {database} RESET ALL".encode())


def test_a_deletion_in_a_partition_is_queued_for_its_table(ground: Yard) -> None:
    with ground.monolith() as here:
        here.execute(
            "CREATE TABLE audit.note (id int PRIMARY KEY, sensor int, at timestamptz, "
            "FOREIGN KEY (sensor, at) REFERENCES reading)"
        )
    capability = ground.project.capabilities["crates"]
    references = [*capability.references, Reference("audit.note", "sensor")]
    changed = replace(ground.project, capabilities={"crates": replace(capability, references=references)})
    made = replace(ground, project=changed)
    made.move_to_service()

    with made.service() as there, made.monolith() as here:
        there.execute("DELETE FROM reading WHERE at = 'infinity'")
        made.catch_up("service")
        queued = here.execute("SELECT table_name, key, columns, relation FROM strangler.orphan").fetchall()

    # No primary key of one column says which row it was, so an older sweep finds nothing to act on.
    assert queued == [("reading", None, {"sensor": "9", "at": "infinity"}, "public.reading_rest")]


def test_ranges_cover_every_row_once(ground: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strangler.adapters.postgres.copies.copying.RANGE_PAGES", 2)
    with ground.monolith() as connection:
        connection.execute("INSERT INTO visit (took) SELECT '1 day' FROM generate_series(1, 3000)")
        connection.execute("DELETE FROM visit WHERE id % 7 = 0")
        connection.execute("UPDATE visit SET code = code || '!' WHERE id % 5 = 0")
    told: list[tuple[int, int]] = []

    with ground.working() as parts:
        started = start(parts, progress=lambda *rows: told.append(rows), boundary=lambda _: None)

    with ground.monolith() as here, ground.service() as there:
        assert contents(there) == contents(here)
        assert sum(map(len, contents(there).values())) == started.rows == told[-1][0]


MARKED = """
CREATE INDEX marked ON ticket (crate) WITH (fillfactor = 61) TABLESPACE elsewhere;
ALTER TABLE ticket CLUSTER ON marked;
COMMENT ON INDEX marked IS 'one; it''s marked';
CREATE INDEX "Marked %s" ON ticket ((number + 1)) WHERE number <> 7;
ALTER INDEX "Marked %s" ALTER COLUMN 1 SET STATISTICS 77;
ALTER INDEX "Marked %s" DEPENDS ON EXTENSION plpgsql;
ALTER TABLE ticket ADD CONSTRAINT marked_key UNIQUE (id, number) WITH (fillfactor = 62)
    USING INDEX TABLESPACE elsewhere;
COMMENT ON CONSTRAINT marked_key ON ticket IS 'two';
COMMENT ON INDEX marked_key IS 'three';
"""
MARKS = """
SELECT i.oid, i.relname, pg_get_indexdef(i.oid), pg_get_constraintdef(k.oid), s.spcname, i.reloptions, x.indisclustered,
       x.indisreplident, obj_description(i.oid), obj_description(k.oid, 'pg_constraint'),
       ARRAY(SELECT attstattarget FROM pg_attribute WHERE attrelid = i.oid),
       EXISTS (SELECT FROM pg_depend WHERE objid = i.oid AND deptype = 'x')
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid LEFT JOIN pg_constraint k ON k.conindid = i.oid
LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace WHERE x.indrelid = 'ticket'::regclass ORDER BY i.relname
"""


def test_indexes_come_back_with_all_that_they_had(ground: Yard) -> None:
    with ground.monolith() as here, ground.service() as there:
        here.execute("ALTER TABLE ticket ADD UNIQUE (id, number)")
        there.execute("SET allow_in_place_tablespaces = on")
        there.execute("CREATE TABLESPACE elsewhere LOCATION ''")
        try:
            there.execute(MARKED.encode())
            before = there.execute(MARKS.encode()).fetchall()

            ground.start()

            after = there.execute(MARKS.encode()).fetchall()
        finally:
            for name in ("marked", "marked_key"):
                there.execute(f"ALTER INDEX IF EXISTS {name} SET TABLESPACE pg_default".encode())
            there.execute("DROP TABLESPACE elsewhere")
    assert [row[1:] for row in after] == [row[1:] for row in before]
    assert len({row[0] for row in [*before, *after]}) == 2 * len(before) - 1  # all but the primary key were away
