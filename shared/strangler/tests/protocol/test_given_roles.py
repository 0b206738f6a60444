"""The roles that a stack gives itself: the rights of each, and a whole move with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers import Cluster, eventually
from strangler.adapters.postgres.schema.ledger import PostgresLedger
from strangler.adapters.postgres.session import roles
from strangler.application.ending import cancel, complete
from strangler.domain.errors import StackError
from yard import Yard, contents, yard

# Here each role's password is its name, as the fixtures of these tests expect.
NAMES = (roles.APP, roles.MOVER, roles.AGENT)


@pytest.fixture
def given(clusters: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[Yard]:
    """Tables that belonged to the superuser before the roles were made; the tool connects as the mover."""
    with yard(clusters, tmp_path) as made:
        for side in ("monolith", "service"):
            with made.side(side) as connection:
                give(connection)
        yield moving_as(made, clusters, roles.MOVER)
    for cluster, database in zip(clusters, made.databases, strict=True):
        with cluster.connect(database) as connection:
            connection.execute("REVOKE ALL ON PARAMETER session_replication_role FROM mover")
            for name in (*NAMES, "strangler_agent"):
                connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())
            connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO PUBLIC".encode())


def give(connection: psycopg.Connection[Any]) -> None:
    roles.give(connection, {name: name for name in NAMES}, extensions="pg_trgm, hstore")


def moving_as(made: Yard, clusters: tuple[Cluster, Cluster], role: str) -> Yard:
    databases = {
        name: cluster.dsn(database, user=role)
        for name, cluster, database in zip(("yard", "depot"), clusters, made.databases, strict=True)
    }
    return replace(made, endpoints=replace(made.endpoints, databases=databases))


def test_a_whole_move_and_its_end_need_no_superuser(given: Yard) -> None:
    given.start()
    given.verify()
    given.switch()
    with given.service() as there:
        there.execute("SET ROLE app")
        there.execute('UPDATE "Crate" SET weight = 7')
        there.execute("DELETE FROM ticket")
    assert given.verify().differing == 0
    given.switch("reverse")
    given.switch()
    with given.working() as parts:
        complete(parts, drop=False)
    assert given.doctor() == []


def test_a_move_can_be_taken_back(given: Yard) -> None:
    given.start()
    with given.working() as parts:
        cancel(parts)

    assert given.doctor() == []


def test_what_was_begun_as_superuser_goes_on_as_mover(
    clusters: tuple[Cluster, Cluster], given: Yard, tmp_path: Path
) -> None:
    superuser = replace(
        given,
        endpoints=replace(
            given.endpoints,
            databases={
                name: cluster.dsn(database)
                for name, cluster, database in zip(("yard", "depot"), clusters, given.databases, strict=True)
            },
        ),
    )
    superuser.start()
    for side in ("monolith", "service"):
        with given.side(side) as connection:
            give(connection)
            owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'strangler'"
            assert connection.execute(owner).fetchone() == ("mover",)

    given.verify()
    given.switch()
    with given.service() as there, given.monolith() as here:
        there.execute("SET ROLE app")
        there.execute('UPDATE "Crate" SET weight = 7')
        eventually(lambda: contents(here) == contents(there))


@pytest.mark.parametrize("name", NAMES)
def test_no_role_is_more_than_it_has_to_be(given: Yard, name: str) -> None:
    with given.monolith() as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication, "
            "has_database_privilege(rolname, current_database(), 'CREATE') FROM pg_roles WHERE rolname = %s",
            (name,),
        ).fetchone()

    assert row == (False, False, False, False, name == roles.MOVER, name == roles.MOVER)


def test_the_application_owns_its_tables_and_nothing_of_the_tool_s(given: Yard) -> None:
    given.start()
    with given.monolith() as connection:
        connection.execute("SET ROLE app")
        connection.execute("CREATE TABLE later (id int PRIMARY KEY)")
        connection.execute("DROP TABLE later")
        connection.execute("SELECT * FROM strangler.side")
        for statement in (
            b"CREATE SCHEMA strangler_too",
            b"UPDATE strangler.move SET epoch = 9",
            b"SELECT * FROM strangler.history",
            b"UPDATE strangler.side SET open = true",
            b"SET session_replication_role = replica",
            b"SELECT pg_create_logical_replication_slot('x', 'pgoutput')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_extensions_are_there_for_who_may_create_none(given: Yard) -> None:
    with given.monolith() as connection:
        found = connection.execute("SELECT extname FROM pg_extension ORDER BY 1").fetchall()

        assert {("pg_trgm",), ("hstore",)} <= set(found)
        # Parts of an extension keep their owner.
        give(connection)


def test_an_agent_reads_the_routes_and_says_what_it_has_live(given: Yard, clusters: tuple[Cluster, Cluster]) -> None:
    ledger = PostgresLedger(moving_as(given, clusters, roles.AGENT).endpoints.databases["yard"])
    with pytest.raises(StackError, match="the ledger is not there yet"):
        ledger.install()
    assert ledger.moves() == []

    given.start()

    ledger.install()
    ledger.listen()
    assert [move.capability for move in ledger.moves()] == ["crates"]
    ledger.agent_seen("gate", {"crates": 1})
    assert ledger.agents(within=60)["gate"] == {"crates": 1}
    ledger.agent_gone("gate")
    for statement in (
        b"UPDATE strangler.move SET epoch = 9",
        b"SELECT * FROM strangler.history",
        b"INSERT INTO strangler.side (capability) VALUES ('x')",
        b'SELECT * FROM public."Crate"',
        b"CREATE TABLE public.mine (id int)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.connection.execute(statement)
    ledger.close()


def test_no_server_logs_the_roles_passwords(given: Yard, clusters: tuple[Cluster, Cluster]) -> None:
    with given.monolith() as connection:
        connection.execute("SET log_statement = 'all'")
        roles.give(connection, {roles.APP: "canary-app"})
        roles.give(connection, {roles.APP: roles.APP})

    assert "canary-app" not in "".join(cluster.said() for cluster in clusters)
