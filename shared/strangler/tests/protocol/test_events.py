"""Events of a new owner on two servers: held in the commit that opens it, and released after the old owner's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from servers import Connection, eventually
from strangler.application.recovery import recover
from strangler.application.status import status
from strangler.application.switch import switch
from strangler.domain.errors import ConfigurationError, PreflightError
from yard import Yard, refused, routed

OUTBOX = 'CREATE TABLE "yard_Outgoing" (id bigserial PRIMARY KEY, capability text NOT NULL)'
OTHER = {"monolith": "service", "service": "monolith"}


def with_outboxes(made: Yard, table: str = "yard_Outgoing") -> Yard:
    """The same project with an outbox named for both databases."""
    databases = {name: replace(each, outbox=table) for name, each in made.project.databases.items()}
    return replace(made, project=replace(made.project, databases=databases))


@pytest.fixture
def telling(ground: Yard) -> Yard:
    """A started and verified move whose sides both have an outbox, the monolith's with an event in it."""
    for side in OTHER:
        with ground.side(side) as connection:
            connection.execute(OUTBOX.encode())
    made = with_outboxes(ground)
    made.start()
    made.verify()
    tell(made, "monolith")
    return made


def tell(made: Yard, side: str) -> None:
    with made.side(side) as connection:
        connection.execute("INSERT INTO \"yard_Outgoing\" (capability) VALUES ('crates'), ('another')")


def relay(made: Yard, side: str) -> None:
    with made.side(side) as connection:
        connection.execute("DELETE FROM \"yard_Outgoing\" WHERE capability = 'crates'")


def held(connection: Connection) -> bool:
    row = connection.execute("SELECT events_held FROM strangler.side WHERE capability = 'crates'").fetchone()
    assert row is not None
    return bool(row[0])


def switched(made: Yard, verb: str, *, timeout: float) -> bool:
    """Whether events are held when the command ends."""
    with made.working() as parts:
        routed(parts)
        return switch(parts, verb, ready=lambda _: None, timeout=timeout, boundary=lambda _: None).events_held


def recovered(made: Yard) -> str | None:
    with made.working() as parts, parts.ledger.coordinating("crates"):
        return recover(parts)


def test_events_are_held_in_the_commit_that_opens_and_released_once_the_old_outbox_is_empty(telling: Yard) -> None:
    for verb, owner in (("switch", "service"), ("reverse", "monolith")):
        with telling.side(owner) as connection:
            connection.execute("LISTEN strangler_side")

            assert switched(telling, verb, timeout=1.0)

            assert held(connection)
            assert refused(connection, "UPDATE visit SET code = 'written'") is None
            assert recovered(telling) is None
            for _ in connection.notifies(timeout=0):
                pass
            relay(telling, OTHER[owner])

            assert recovered(telling) == f"released the events of the {owner}"

            assert not held(connection)
            assert [one.channel for one in connection.notifies(timeout=60, stop_after=1)] == ["strangler_side"]
        tell(telling, owner)


def test_an_outbox_that_empties_in_the_switch_is_waited_for(telling: Yard) -> None:
    relay(telling, "monolith")

    assert not switched(telling, "switch", timeout=20)

    with telling.service() as there:
        assert not held(there)


def test_an_opening_that_is_dropped_holds_no_events(telling: Yard) -> None:
    with telling.working() as parts, telling.service() as there:
        parts.service.begin_opening(target=2, statement_ms=500, hold_events=True)
        assert not held(there)
        parts.service.drop_opening()

        assert not held(there)


def test_a_relay_that_has_not_committed_delays_events_only(telling: Yard) -> None:
    with telling.monolith() as connection:
        connection.execute("BEGIN")
        connection.execute('DELETE FROM "yard_Outgoing"')  # a relay at work: its rows are there until it commits

        assert switched(telling, "switch", timeout=1.0)

        connection.execute("COMMIT")
        with telling.service() as there:
            eventually(lambda: recovered(telling) is not None)
            assert not held(there)


def test_an_outbox_that_nobody_may_read_now_is_asked_again(telling: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    assert switched(telling, "switch", timeout=1.0)
    relay(telling, "monolith")
    with telling.monolith() as connection, monkeypatch.context() as impatient:
        impatient.setattr("strangler.adapters.postgres.schema.side.BACKLOG_MS", 500)
        connection.execute("BEGIN")
        connection.execute('LOCK TABLE "yard_Outgoing"')

        assert recovered(telling) is None
        with telling.working() as parts:
            assert status(parts).problems == ["monolith: the outbox could not be read within 500 ms"]

        connection.execute("COMMIT")
    assert recovered(telling) == "released the events of the service"


def test_a_side_of_an_older_version_holds_nothing(telling: Yard) -> None:
    with telling.service() as there:
        there.execute("ALTER TABLE strangler.side DROP COLUMN events_held CASCADE")

        with telling.working() as parts:
            row = parts.service.row()

    assert row is not None
    assert not row.events_held


@pytest.mark.parametrize("table", ["yard_nothing", "yard_setting"])
def test_an_outbox_that_is_none_is_told_before_anything_is_changed(ground: Yard, table: str) -> None:
    with pytest.raises(PreflightError, match=f"no table {table} with a column capability in the database") as caught:
        with_outboxes(ground, table).start()

    assert [(one.id, one.place, one.remedy) for one in caught.value.findings] == [
        ("outbox-missing", f"strangler.toml: databases.{name}.outbox", "run its migrations, or correct the name")
        for name in ("yard", "depot")
    ]


def test_an_outbox_that_is_named_in_the_middle_of_a_move_is_looked_for_before_the_switch(moving: Yard) -> None:
    with pytest.raises(ConfigurationError, match="there is no table yard_Outgoing"):
        with_outboxes(moving).switch()

    with moving.monolith() as here:
        assert refused(here, "UPDATE visit SET code = 'x'") is None
    moving.switch()


def test_an_outbox_that_the_tool_may_not_read_is_told_with_the_grant(telling: Yard) -> None:
    with telling.monolith() as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        try:
            connection.execute("GRANT SELECT ON strangler.side TO stranger")
            dsn = telling.clusters[0].dsn(telling.databases[0], user="stranger")
            databases = {**telling.endpoints.databases, "yard": dsn}
            strange = replace(telling, endpoints=replace(telling.endpoints, databases=databases))
            with (
                strange.working() as parts,
                pytest.raises(PreflightError, match="may not read yard_Outgoing") as caught,
            ):
                parts.monolith.backlog()
            assert caught.value.remedy == 'GRANT SELECT ON "public"."yard_Outgoing" TO stranger'
        finally:
            connection.execute("DROP OWNED BY stranger; DROP ROLE stranger")
