"""`switch` and `reverse` on two servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

import psycopg
import pytest
from servers import Connection, eventually
from strangler.application import gates
from strangler.application.recovery import recover
from strangler.application.switch import STEPS
from strangler.domain.errors import MoveError, RefusedError
from strangler.ports.side import BlockedError, LostError, StaleError
from yard import Yard, contents, opened, refused

OWNERS = ("service", "monolith", "service")
VERBS = ("switch", "reverse", "switch")
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'strangler%' AND datname = current_database() AND backend_type = 'client backend'
"""


def told(connection: Connection, what: LiteralString) -> bool:
    """What the side's own row says."""
    row = connection.execute(f"SELECT {what} FROM strangler.side").fetchone()
    assert row is not None
    return bool(row[0])


def written(connection: Connection, label: str) -> None:
    """The writes of an application on its owner: in every kind of table, numbered by the database."""
    connection.execute(
        'INSERT INTO "Crate" ("Label", id, weight, seen) VALUES (%s, gen_random_uuid(), 500, now())', (label,)
    )
    connection.execute('INSERT INTO ticket (number, crate) SELECT 100, id FROM "Crate" WHERE "Label" = %s', (label,))
    connection.execute(
        "INSERT INTO reading (sensor, at, value) VALUES (1, clock_timestamp(), 1), (1, '2020-01-01', 0)"
        " ON CONFLICT (sensor, at) DO UPDATE SET value = reading.value + 1"
    )
    connection.execute("INSERT INTO visit (took) VALUES ('1 second')")
    connection.execute('UPDATE "Crate" SET facts = facts || \'{"again": true}\' WHERE weight < 20')
    connection.execute('DELETE FROM bays."Bay slot" WHERE ctid IN (SELECT ctid FROM bays."Bay slot" LIMIT 1)')


def test_owners_write_in_turn_and_nothing_loops(moving: Yard) -> None:
    for verb, owner in zip(VERBS, OWNERS, strict=True):
        moving.switch(verb)
        with moving.side(owner) as connection:
            written(connection, f"by the {owner} after {verb} at {time.time()}")
        moving.catch_up(owner)
        with moving.monolith() as here, moving.service() as there:
            assert contents(there) == contents(here)

    with moving.working() as parts:
        assert {stream.direction: stream.errors for stream in parts.replication.streams()} == {
            "forward": 0,
            "reverse": 0,
        }
    assert moving.doctor() == []


def test_sequences_go_on_where_either_side_has_left_them(moving: Yard) -> None:
    taken: dict[str, list[int]] = {"visit.id": [], "ticket.id": [], "number": [], "position": [], "code": []}
    for verb, owner in zip(VERBS, OWNERS, strict=True):
        moving.switch(verb)
        with moving.side(owner) as connection:
            # A number that was given out and rolled back must not come again, either.
            connection.execute("SELECT nextval('visit_codes'), nextval(pg_get_serial_sequence('ticket', 'id'))")
            for _ in range(3):
                crate = connection.execute(
                    'INSERT INTO "Crate" ("Label", id, weight, seen) '
                    "VALUES (gen_random_uuid(), gen_random_uuid(), 1, now()) RETURNING number, id"
                ).fetchone()
                assert crate is not None
                taken["number"].append(crate[0])
                for place, statement in {
                    "visit.id": "INSERT INTO visit (took) VALUES ('1 day') RETURNING id",
                    "code": "INSERT INTO visit (took) VALUES ('1 day') RETURNING substr(code, 2)::int",
                    "ticket.id": f"INSERT INTO ticket (number, crate) VALUES (1, '{crate[1]}') RETURNING id",
                    "position": "INSERT INTO reading (sensor, at, value) "
                    "VALUES (5, clock_timestamp(), 1) RETURNING position",
                }.items():
                    row = connection.execute(statement.encode()).fetchone()
                    assert row is not None
                    taken[place].append(row[0])

    for place, numbers in taken.items():
        assert numbers == sorted(set(numbers)), place
    assert min(taken["code"]) > 1009
    assert max(taken["code"]) < 1100
    assert moving.verify().differing == 0


def test_a_sequence_that_nobody_has_asked_keeps_its_first_value(ground: Yard) -> None:
    with ground.monolith() as connection:
        connection.execute("TRUNCATE visit; ALTER SEQUENCE visit_codes RESTART 5000")
    ground.move_to_service()

    with ground.service() as connection:
        connection.execute("INSERT INTO visit (took) VALUES ('1 day')")
        row = connection.execute("SELECT id, code FROM visit").fetchone()

    assert row == (10, "V5000")


def test_a_side_that_is_not_the_owner_refuses_writes_in_both_directions(moving: Yard) -> None:
    for verb, owner in zip(VERBS, OWNERS, strict=True):
        moving.switch(verb)
        other = "monolith" if owner == "service" else "service"
        with moving.side(other) as closed, moving.side(owner) as connection:
            assert refused(closed, "UPDATE reading SET value = 1") == "SF001"
            assert refused(closed, "TRUNCATE ticket") == "SF001"
            for statement in (
                "TRUNCATE ticket",
                "TRUNCATE reading",
                "TRUNCATE reading_old",
                'TRUNCATE "Crate" CASCADE',
            ):
                assert refused(connection, statement) == "SF003", statement
            assert refused(connection, "UPDATE reading SET value = value + 1") is None
            connection.execute("SET session_replication_role = replica")
            assert refused(connection, "UPDATE reading SET value = 1") == "SF001"


def test_a_truncate_on_the_owner_says_what_to_do(moving: Yard) -> None:
    with moving.monolith() as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("TRUNCATE visit")

        assert caught.value.diag.message_primary == "crates is being moved: TRUNCATE of public.visit refused"
        assert caught.value.diag.message_detail == "crates"
        assert "Use DELETE, or cancel the move first" in (caught.value.diag.message_hint or "")
        connection.execute("DELETE FROM visit")
    moving.catch_up("monolith")
    assert moving.verify().differing == 0


def test_compare_and_set_refuses_another_epoch(moving: Yard) -> None:
    with moving.working() as parts:
        monolith, service = parts.monolith, parts.service
        refusals: list[Callable[[], object]] = [
            lambda: monolith.fence(expected=2, target=3, statement_ms=500),
            lambda: service.fence(expected=1, target=2, statement_ms=500),
            lambda: service.reopen(target=0),
            lambda: service.prepare(target=0, positions={}),
        ]
        for refusal in refusals:
            with pytest.raises(StaleError):
                refusal()
        with pytest.raises(StaleError):
            monolith.begin_opening(target=2, statement_ms=500)
        monolith.drop_opening()

    assert opened(moving) == {"monolith": (True, 1), "service": (False, 1)}


def test_a_coordinator_that_slept_lifts_nothing(moving: Yard) -> None:
    with moving.working() as sleeper:
        sleeper.monolith.fence(expected=1, target=2, statement_ms=500)
        with moving.monolith() as connection:
            connection.execute("UPDATE strangler.move SET state = 'switching', intent = 'switch'")
        with moving.working() as parts:
            assert recover(parts) == "unwound an interrupted switch"
        moving.switch()

        for target in (1, 2, 3):
            with pytest.raises(StaleError):
                sleeper.monolith.reopen(target=target)
        sleeper.monolith.bounce("monolith", epoch=3)

    assert opened(moving) == {"monolith": (False, 4), "service": (True, 4)}
    with moving.working() as parts:
        assert parts.monolith.row().bounce_to == "service"


def test_an_opening_is_not_committed_by_another_session(moving: Yard) -> None:
    with moving.working() as parts, moving.service() as watch:
        parts.service.begin_opening(target=2, statement_ms=500)
        watch.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'strangler co%'"
        )

        with pytest.raises(LostError):
            parts.service.open()
        with pytest.raises(LostError):
            parts.service.open()

    assert opened(moving)["service"] == (False, 1)


def test_an_opening_that_could_not_begin_opens_nothing(moving: Yard) -> None:
    with moving.working() as parts:
        with pytest.raises(StaleError):
            parts.service.begin_opening(target=0, statement_ms=500)

        with pytest.raises(LostError):
            parts.service.open()

        assert parts.service.row().open is False


def test_an_opening_is_dropped_by_the_server_when_its_coordinator_sleeps(moving: Yard) -> None:
    with moving.working() as sleeper, moving.working() as parts:
        sleeper.service.begin_opening(target=2, statement_ms=500)

        parts.service.reopen(target=3)  # waits for the sleeper's locks

        with pytest.raises(LostError):
            sleeper.service.open()
    assert opened(moving)["service"] == (True, 3)


@pytest.mark.parametrize("side", ["monolith", "service"])
def test_a_server_that_goes_away_is_told_as_such(moving: Yard, side: str) -> None:
    with moving.working() as parts, moving.side(side) as connection:
        asks: list[Callable[[], object]] = [
            parts.sides[side].row,
            parts.sides[side].blockers,
            parts.replication.streams,
            parts.ledger.moves,
        ]
        for ask in asks[: 4 if side == "monolith" else 3]:
            ask()
            connection.execute(TERMINATE)

            with pytest.raises(LostError, match="the server went away"):
                ask()
            ask()


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets no transaction be too old for the gates, however long a test takes until then."""
    monkeypatch.setattr(gates, "TRANSACTION_SECONDS", 600.0)


@pytest.mark.usefixtures("young")
def test_a_transaction_that_holds_a_table_is_named_and_nothing_changes(moving: Yard) -> None:
    before = opened(moving)
    with moving.monolith() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE reading SET value = 1 WHERE sensor = 1")
        # Does not stop the gates, and is in the way afterwards.
        with pytest.raises(MoveError, match=r"(?s)did not become free.*held by pid.*UPDATE reading SET value = 1"):
            moving.switch(timeout=0.8)
        connection.execute("COMMIT")
    after = opened(moving)

    assert before == {"monolith": (True, 1), "service": (False, 1)}
    assert after == {"monolith": (True, 3), "service": (False, 1)}
    moving.switch()


@pytest.mark.usefixtures("young")
def test_a_writer_that_waits_for_the_fence_is_not_killed_by_it(moving: Yard) -> None:
    outcomes: list[str | None] = []
    with moving.monolith() as long, moving.monolith() as short:
        long.execute("BEGIN")
        long.execute("UPDATE visit SET code = 'x'")
        switching = threading.Thread(target=moving.switch)
        switching.start()
        with moving.monolith() as watch:
            waits = (
                "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'strangler%' AND wait_event_type = 'Lock'"
            )
            eventually(lambda: watch.execute(waits).fetchone())
        queued = threading.Thread(target=lambda: outcomes.append(refused(short, "UPDATE ticket SET number = 6")))
        queued.start()
        # This would deadlock with a fence that took one table after another.
        long.execute("UPDATE ticket SET number = 7 WHERE id = 1")
        long.execute("COMMIT")
        queued.join()
        switching.join()

    assert outcomes[0] in {None, "SF001"}
    assert opened(moving)["service"] == (True, 2)
    assert moving.verify().differing == 0


def test_each_step_is_told_with_its_time(moving: Yard) -> None:
    switched = moving.switch()

    assert [taken.step for taken in switched.steps] == [step.name for step in STEPS]
    assert 0 < switched.pause_ms < 5000
    with pytest.raises(RefusedError, match="the service owns it already"):
        moving.switch()


def test_a_blocked_opening_leaves_a_usable_session(moving: Yard) -> None:
    with moving.service() as connection, moving.working() as parts:
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE visit IN SHARE MODE")
        with pytest.raises(BlockedError):
            parts.service.begin_opening(target=2, statement_ms=100)
        parts.service.drop_opening()

        assert parts.service.row().open is False


def test_the_new_owner_that_cannot_be_locked_gives_the_old_one_back(moving: Yard) -> None:
    with moving.service() as connection:

        def lock(boundary: str) -> None:
            if boundary == "before:begin opening":
                connection.execute("BEGIN")
                connection.execute("LOCK TABLE visit IN SHARE MODE")

        with pytest.raises(MoveError):
            moving.switch(boundary=lock)

    assert opened(moving)["monolith"] == (True, 3)
    with moving.monolith() as here:
        assert refused(here, "UPDATE visit SET code = 'x'") is None


def test_a_step_that_fails_in_the_pause_gives_the_old_owner_back(moving: Yard) -> None:
    with moving.monolith() as connection:

        def break_marker(boundary: str) -> None:
            if boundary == "before:fence owner":
                connection.execute(
                    "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE division_by_zero; END'"
                )
                connection.execute("CREATE TRIGGER broken BEFORE INSERT ON strangler.marker EXECUTE FUNCTION broken()")

        with pytest.raises(psycopg.errors.DivisionByZero):
            moving.switch(boundary=break_marker)

        assert opened(moving) == {"monolith": (True, 3), "service": (False, 1)}
        assert refused(connection, "UPDATE visit SET code = 'x'") is None


def test_the_door_is_shut_while_a_fence_waits_and_open_when_it_gives_up(moving: Yard) -> None:
    with moving.working() as parts, moving.monolith() as holder, moving.monolith() as looker:
        holder.execute("BEGIN")
        holder.execute("UPDATE visit SET code = code")
        with ThreadPoolExecutor(1) as threads:
            fence = threads.submit(parts.monolith.fence, expected=1, target=2, statement_ms=400)
            eventually(lambda: told(looker, "pausing"))
            with pytest.raises(BlockedError):
                fence.result()

        assert told(looker, "open AND epoch = 1 AND NOT pausing")
        holder.execute("COMMIT")
        parts.monolith.fence(expected=1, target=2, statement_ms=400)
        assert told(looker, "NOT open AND NOT pausing")


def test_a_fence_that_fails_leaves_its_session_usable(moving: Yard) -> None:
    with moving.working() as parts, moving.monolith() as connection:
        connection.execute("ALTER FUNCTION strangler.turn_fences(text, boolean) RENAME TO turned")
        with pytest.raises(psycopg.errors.UndefinedFunction):
            parts.monolith.fence(expected=1, target=2, statement_ms=400)
        connection.execute("ALTER FUNCTION strangler.turned(text, boolean) RENAME TO turn_fences")

        parts.monolith.reopen(target=3)

    assert opened(moving)["monolith"] == (True, 3)


def test_a_request_that_has_looked_at_its_side_holds_nothing_up(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM strangler.side")

        moving.switch()

        connection.execute("COMMIT")
    assert opened(moving)["service"] == (True, 2)


def test_an_older_version_s_schema_is_brought_up_to_date(moving: Yard) -> None:
    with moving.service() as connection:
        connection.execute("DROP FUNCTION strangler.warm")
        connection.execute("COMMENT ON SCHEMA strangler IS 'side=0123 other=4567'")

        moving.switch()

        row = connection.execute("SELECT obj_description('strangler'::regnamespace)").fetchone()
        assert row is not None
        assert "other=4567" in row[0]
        assert "0123" not in row[0]


def test_that_a_side_is_prepared_wakes_nobody(moving: Yard) -> None:
    with moving.working() as parts, moving.service() as listener:
        _, positions = parts.monolith.mark()
        listener.execute("LISTEN strangler_side")

        parts.service.prepare(target=2, positions=positions)

        assert list(listener.notifies(timeout=0)) == []
        parts.service.bounce("monolith", epoch=1)
        assert [one.channel for one in listener.notifies(timeout=60, stop_after=1)] == ["strangler_side"]


def test_going_through_the_motions_before_a_pause_changes_nothing_and_locks_no_moved_table(moving: Yard) -> None:
    with moving.monolith() as writer, moving.working() as parts:
        before = opened(moving)
        writer.execute("BEGIN")
        writer.execute("UPDATE visit SET code = 'x' WHERE id = 1")

        parts.monolith.warm()
        parts.service.warm()

        writer.execute("COMMIT")
        assert opened(moving) == before


@pytest.mark.parametrize("held", ["ALTER SEQUENCE ticket_id_seq CACHE 1", "LOCK TABLE visit IN ACCESS EXCLUSIVE MODE"])
def test_what_others_hold_before_a_pause_is_told_in_time(moving: Yard, held: str) -> None:
    with moving.service() as connection, moving.working() as parts:
        before = opened(moving)
        connection.execute("BEGIN")
        connection.execute(held.encode())

        with pytest.raises(BlockedError, match="the tables or their sequences were not free within 2") as caught:
            parts.service.warm()

        assert caught.value.remedy
        assert caught.value.place
        connection.execute("COMMIT")
        parts.service.warm()
        assert opened(moving) == before


def test_the_stream_itself_is_nobody_who_is_in_the_way(moving: Yard) -> None:
    with moving.service() as locker, moving.monolith() as writer, moving.working() as parts:
        locker.execute("BEGIN")
        locker.execute("SELECT FROM visit WHERE id = 1 FOR UPDATE")
        writer.execute("UPDATE visit SET code = 'x' WHERE id = 1")
        applying = (
            "SELECT 1 FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%' AND wait_event_type = 'Lock'"
        )
        eventually(lambda: locker.execute(applying).fetchone())

        assert list(parts.service.blockers()) == []
        locker.execute("COMMIT")
