"""Things around the moved tables that would be left behind, run twice, or stop working are named beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from servers import Connection, eventually
from strangler.adapters.postgres.preflight import surroundings
from strangler.adapters.postgres.streams import waiting
from strangler.adapters.postgres.tables import locks
from strangler.application.gates import TRANSACTION_SECONDS
from strangler.domain.errors import MoveError, RefusedError
from strangler.ports.replication import Patience
from test_preflight import on_both, refusal
from yard import Yard

NOTHING = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
TRIGGER = "CREATE TRIGGER twice AFTER INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION nothing()"
LO = "CREATE DOMAIN lo AS oid"
MONOLITH_ONLY = {
    "a child that inherits": (
        ("CREATE TABLE yard_child () INHERITS (ticket)",),
        "ticket inherits from or is inherited by yard_child",
    ),
    "a parent that stays": (
        ("CREATE TABLE yard_parent (number integer)", "ALTER TABLE ticket INHERIT yard_parent"),
        "ticket inherits from or is inherited by yard_parent",
    ),
    "a rule": (
        ("CREATE RULE quiet AS ON DELETE TO ticket DO INSTEAD NOTHING",),
        "ticket has the rule quiet",
    ),
    "a trigger that always runs": (
        (NOTHING, TRIGGER, "ALTER TABLE ticket ENABLE ALWAYS TRIGGER twice"),
        "the trigger twice of ticket is enabled ALWAYS or REPLICA",
    ),
    "a trigger that runs for streams": (
        (NOTHING, TRIGGER, "ALTER TABLE ticket ENABLE REPLICA TRIGGER twice"),
        "the trigger twice of ticket is enabled ALWAYS or REPLICA",
    ),
}


@pytest.mark.parametrize("name", MONOLITH_ONLY)
def test_what_stands_at_a_table_of_the_monolith(ground: Yard, name: str) -> None:
    statements, message = MONOLITH_ONLY[name]
    with ground.monolith() as connection:
        for statement in statements:
            connection.execute(statement.encode())

    assert message in refusal(ground).message


def test_a_trigger_that_always_runs_on_the_copy(ground: Yard) -> None:
    with ground.service() as connection:
        for statement in (NOTHING, TRIGGER, "ALTER TABLE ticket ENABLE ALWAYS TRIGGER twice"):
            connection.execute(statement.encode())

    error = refusal(ground)

    assert error.message.startswith("the trigger twice of ticket")
    assert error.place.endswith(ground.databases[1])


def test_a_stream_that_feeds_a_table(ground: Yard) -> None:
    with ground.monolith() as connection:
        connection.execute(
            "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1' PUBLICATION feed "
            "WITH (connect = false, slot_name = NONE, enabled = false)"
        )
        # What a refresh would write if the publisher were there.
        connection.execute("SET allow_system_table_mods = on")
        connection.execute(
            "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
            "SELECT oid, 'ticket'::regclass, 'i' FROM pg_subscription WHERE subname = 'feed'"
        )
        try:
            assert refusal(ground).message.startswith("ticket is fed by the subscription feed")
        finally:
            connection.execute("DROP SUBSCRIPTION feed")


NAMED_BY = {  # the statement that makes a column of it, and a value
    "by an array": ("oid[]", "ARRAY[1, {}]"),
    "by a domain of a domain": ("object", "{}"),
    "by arrays of composites of arrays of domains": ("folder[]", "ARRAY[NULL, ROW('x', ARRAY[NULL, {}])]::folder[]"),
}
KINDS = """
CREATE DOMAIN thing AS oid; CREATE DOMAIN object AS thing; CREATE TYPE folder AS (label text, "all" object[]);
CREATE DOMAIN lo AS oid; CREATE TYPE album AS (label text, pictures lo[]);
"""


@pytest.mark.parametrize("named", NAMED_BY)
def test_large_objects_that_a_value_s_inmost_part_names(ground: Yard, named: str) -> None:
    kind, value = NAMED_BY[named]
    on_both(ground, KINDS, f"ALTER TABLE ticket ADD body {kind}")
    with ground.monolith() as connection:
        made = connection.execute("SELECT lo_from_bytea(0, 'x')").fetchone()
        assert made
        connection.execute(f"UPDATE ticket SET body = {value.format(made[0])} WHERE id = 5".encode())
    try:
        assert refusal(ground).message.startswith("ticket.body names large objects")
        with ground.monolith() as connection:
            connection.execute(f"UPDATE ticket SET body = {value.format(7)}".encode())
        ground.start()
    finally:
        with ground.monolith() as connection:
            connection.execute("SELECT lo_unlink(%s)", made)


def test_large_objects_of_a_column_s_inmost_type(ground: Yard) -> None:
    on_both(ground, KINDS, "ALTER TABLE ticket ADD body album[]")

    assert refusal(ground).message.startswith("ticket keeps large objects (body)")


@pytest.mark.parametrize("named", ["by a column", "by a trigger", "by a value"])
def test_large_objects(ground: Yard, named: str) -> None:
    with ground.monolith() as connection:
        made = connection.execute("SELECT lo_from_bytea(0, 'x')").fetchone()
        assert made
    try:
        if named == "by a trigger":
            on_both(ground, "ALTER TABLE ticket ADD body oid")
            with ground.monolith() as connection:
                connection.execute(NOTHING.replace("nothing", "lo_manage").encode())
                connection.execute(TRIGGER.replace("nothing", "lo_manage").encode())
            assert refusal(ground).message.startswith("ticket keeps large objects (twice)")
        elif named == "by a column":
            on_both(ground, LO, "ALTER TABLE ticket ADD body lo")
            assert refusal(ground).message.startswith("ticket keeps large objects (body)")
        else:
            on_both(ground, "ALTER TABLE ticket ADD body oid")
            with ground.monolith() as connection:
                connection.execute("UPDATE ticket SET body = %s WHERE id = 5", made)
            assert refusal(ground).message.startswith("ticket.body names large objects")
    finally:
        with ground.monolith() as connection:
            connection.execute("SELECT lo_unlink(%s)", made)


def test_numbers_that_name_no_large_object_are_numbers(ground: Yard) -> None:
    on_both(ground, "ALTER TABLE ticket ADD body oid")
    with ground.monolith() as connection:
        connection.execute("UPDATE ticket SET body = 77")

    ground.start()

    assert ground.verify().differing == 0


def test_what_else_listens_is_noted(ground: Yard) -> None:
    with ground.monolith() as connection:
        connection.execute("CREATE PUBLICATION lake FOR TABLE visit")
        connection.execute(
            "CREATE FUNCTION told() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; "
            "CREATE EVENT TRIGGER told ON ddl_command_end EXECUTE FUNCTION told()"
        )
    try:
        warnings = ground.start().warnings
    finally:
        with ground.monolith() as connection:
            connection.execute("DROP EVENT TRIGGER told")

    assert any(one.startswith("visit is published by lake") for one in warnings)
    assert any(one.startswith("the event trigger told (ddl_command_end)") for one in warnings)


@pytest.mark.parametrize(
    "constraint", ["CONSTRAINT kept CHECK (number > 5) NOT VALID", "CONSTRAINT kept NOT NULL seen NOT VALID"]
)
def test_rows_that_do_not_keep_a_constraint_of_their_own(ground: Yard, constraint: str) -> None:
    on_both(ground, "ALTER TABLE ticket ADD seen date", f"ALTER TABLE ticket ADD {constraint}")

    assert refusal(ground).message.startswith("rows of ticket do not keep its own constraint kept")


CHANGING = "CREATE OR REPLACE FUNCTION once(x integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT {}'"


def test_rows_that_a_unique_key_of_the_copy_does_not_hold_for(ground: Yard) -> None:
    """A key that was built when the function returned something else: the owner has rows that the copy cannot have."""
    on_both(ground, CHANGING.format("x"), "CREATE UNIQUE INDEX once_only ON ticket (once(id))", CHANGING.format("7"))

    with pytest.raises(MoveError) as caught:
        ground.start()

    assert "once_only does not hold for the copied rows: could not create unique index" in caught.value.message
    assert "once(id))=(7) is duplicated" in caught.value.message
    assert caught.value.remedy


def test_rows_that_the_copy_refuses(ground: Yard) -> None:
    on_both(ground, CHANGING.format("x"), "ALTER TABLE ticket ADD CONSTRAINT held CHECK (once(id) > 0)")
    on_both(ground, CHANGING.format("-1"))

    with pytest.raises(MoveError) as caught:
        ground.start()

    assert 'violates check constraint "held"' in caught.value.message
    assert "ticket" in caught.value.message


@contextmanager
def prepared(connection: Connection, statement: str) -> Iterator[None]:
    """A transaction without a session, such as a broken coordinator of other software leaves."""
    connection.execute("BEGIN")
    connection.execute(statement.encode())
    connection.execute("PREPARE TRANSACTION 'left by others'")
    try:
        yield
    finally:
        connection.execute("ROLLBACK PREPARED 'left by others'")


def test_a_prepared_transaction_stops_a_start(ground: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "PREPARED_SECONDS", 0.2)
    with ground.monolith() as connection, prepared(connection, "INSERT INTO yard_setting VALUES ('x')"):
        error = refusal(ground)

    assert "the transaction 'left by others' of postgres in the database yard has been prepared" in error.message
    assert error.remedy == "COMMIT PREPARED or ROLLBACK PREPARED 'left by others' there"


def test_a_prepared_transaction_is_named_by_a_gate_and_by_a_lock(moving: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "TRY_SECONDS", 0.2)
    with moving.monolith() as connection, prepared(connection, "UPDATE visit SET code = 'x' WHERE id = 1"):
        with moving.working() as parts:
            side = parts.sides["monolith"]
            eventually(lambda: all(blocker.seconds > TRANSACTION_SECONDS for blocker in side.blockers()))
            blockers = [str(blocker) for blocker in side.blockers()]
            tables = parts.replication.tables("monolith")
            with (
                pytest.raises(MoveError, match="held by the transaction 'left by others'"),
                locks.locked(parts.replication.session("monolith"), tables, "SHARE ROW EXCLUSIVE"),
            ):
                pass
        with pytest.raises(RefusedError, match=r"gate transactions \(monolith\):\s+held by the transaction 'left"):
            moving.switch(timeout=2.0)

    assert len(blockers) == 1
    assert blockers[0].startswith("the transaction 'left by others' (postgres), prepared for ")


@pytest.mark.parametrize("side", ["monolith", "service"])
def test_a_slot_that_waits_says_for_whom(
    ground: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, side: str
) -> None:
    monkeypatch.setattr(waiting, "AFTER_THE_COPY_SECONDS", 0.5)
    said: list[str] = []
    monkeypatch.setattr(waiting, "SAY_SECONDS", 0.2)
    with ground.side(side) as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE elsewhere (id int)")

        with pytest.raises(MoveError) as caught:
            ground.start(patience=Patience(0.5, said.append))

        assert f"for pid {connection.info.backend_pid} (postgres" in caught.value.message
        assert "CREATE TABLE elsewhere" in caught.value.message
        told = said if side == "monolith" else [record.getMessage() for record in caplog.records]
        assert any("waiting for open transactions at" in one and "to end\n    for pid" in one for one in told)
        connection.execute("ROLLBACK")
    with ground.side(side) as connection:
        slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND temporary"
        assert connection.execute(slots).fetchone() == (0,)

    ground.start()


def test_what_has_come_to_stand_there_since_stops_a_switch(moving: Yard) -> None:
    with moving.service() as connection:
        for statement in (NOTHING, TRIGGER, "ALTER TABLE ticket ENABLE ALWAYS TRIGGER twice"):
            connection.execute(statement.encode())

    with pytest.raises(RefusedError, match=r"gate surroundings: the trigger twice of ticket .* \(service\)"):
        moving.switch()

    assert [finding.id for finding in moving.doctor()] == ["surroundings"]
