"""Settings that a database or a role has for its sessions change nothing in a move."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from servers import Connection
from strangler.adapters.postgres.session.connection import connect
from strangler.application.ending import cancel
from strangler.domain.errors import PreflightError
from test_verifying import spoil
from yard import SIDES, Yard, contents, grant_all

HOSTILE = {
    "default_transaction_isolation": "repeatable read",
    "default_transaction_deferrable": "on",
    "default_transaction_read_only": "on",
    "search_path": "audit, nowhere",
    "row_security": "on",
    "default_tablespace": "",
    "statement_timeout": "3s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "3s",
    "idle_session_timeout": "3s",
    "transaction_timeout": "3s",
    "lc_monetary": "C.utf8",
    "extra_float_digits": "-10",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "xmloption": "document",
    "synchronous_commit": "off",
    "check_function_bodies": "off",
    "default_table_access_method": "heap",
    "client_min_messages": "error",
    "plan_cache_mode": "force_custom_plan",
    "enable_indexscan": "off",
    "jit": "off",
}
# Different on the two servers.
APART = {
    "timezone": ("Asia/Kathmandu", "America/St_Johns"),
    "DateStyle": ("German, DMY", "SQL, MDY"),
    "IntervalStyle": ("iso_8601", "sql_standard"),
    "bytea_output": ("escape", "hex"),
    "xmlbinary": ("hex", "base64"),
}
# The test's own sessions print values in the same form.
PLAIN = (
    "-c default_transaction_read_only=off -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres "
    "-c extra_float_digits=1 -c bytea_output=hex -c statement_timeout=0 -c lock_timeout=0 -c idle_session_timeout=0 "
    "-c idle_in_transaction_session_timeout=0 -c transaction_timeout=0 -c search_path=public "
    "-c session_replication_role=origin"
)


@pytest.fixture
def spoilt(owned: Yard) -> Iterator[Yard]:
    """Resets the settings of a test's databases, so that other tests can remove the databases."""
    grant_all(owned)
    yield owned
    for side, database in zip(SIDES, owned.databases, strict=True):
        with plain(owned, side) as connection:
            connection.execute(f"ALTER DATABASE {database} RESET ALL".encode())


@pytest.fixture(params=["database", "role"])
def set_for(request: pytest.FixtureRequest, spoilt: Yard) -> Yard:
    """Both databases, or the tool's role in them, have defaults that would spoil everything."""
    for number, side in enumerate(SIDES):
        database = spoilt.databases[number]
        whose = f"DATABASE {database}" if request.param == "database" else f"ROLE mover IN DATABASE {database}"
        with plain(spoilt, side) as connection:
            for name, value in {**HOSTILE, **{key: values[number] for key, values in APART.items()}}.items():
                values = ", ".join(f"'{one}'" for one in value.split(", "))
                connection.execute(f"ALTER {whose} SET {name} = {values}".encode())
            # No fence stops an application whose sessions begin with this setting, so it is refused; the tool's own
            # role may have it.
            if request.param == "role":
                connection.execute(f"ALTER {whose} SET session_replication_role = replica".encode())
    return spoilt


def plain(made: Yard, side: str) -> Connection:
    """A session without any of these settings."""
    number = SIDES.index(side)
    dsn = make_conninfo(made.clusters[number].dsn(made.databases[number]), options=PLAIN)
    return psycopg.connect(dsn, autocommit=True)


def test_a_whole_move_with_defaults_that_would_spoil_everything(set_for: Yard) -> None:
    set_for.start()
    assert set_for.verify().differing == 0
    with plain(set_for, "service") as there:
        spoil(there, "DELETE FROM visit WHERE id = 3", 'UPDATE "Crate" SET seal = NULL WHERE weight = 4.125')
    assert set_for.verify().differing == 2
    assert set_for.verify(repair=True).differing == 0
    set_for.switch()
    with plain(set_for, "service") as there, plain(set_for, "monolith") as here:
        there.execute('UPDATE "Crate" SET weight = 7 WHERE weight = 5.125')
        set_for.catch_up("service")
        assert contents(there) == contents(here)
    assert set_for.verify().differing == 0
    set_for.switch("reverse")
    assert set_for.doctor() == []
    with set_for.working() as parts:
        cancel(parts)
    assert set_for.doctor() == []


SETTINGS = """
SELECT name, setting FROM pg_settings WHERE name = ANY (%s)
UNION ALL SELECT 'user', current_user UNION ALL SELECT 'replication', current_setting('session_replication_role')
"""


def test_a_session_is_the_same_whatever_is_set(spoilt: Yard) -> None:
    dsn = spoilt.endpoints.databases["yard"]
    watched = [name for name in [*HOSTILE, *APART] if name not in ("client_min_messages", "enable_indexscan", "jit")]
    with connect(dsn, purpose="test") as session:
        before = dict(session.execute(SETTINGS, (watched,)).fetchall())
    with plain(spoilt, "monolith") as connection:
        for name, value in {**HOSTILE, **{key: values[0] for key, values in APART.items()}}.items():
            values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(spoilt.databases[0]), sql.Identifier(name), values
                )
            )
        connection.execute(f"ALTER DATABASE {spoilt.databases[0]} SET session_replication_role = replica".encode())
        connection.execute(f"ALTER ROLE mover IN DATABASE {spoilt.databases[0]} SET role = clerk".encode())

    with connect(dsn, purpose="test") as session:
        after = dict(session.execute(SETTINGS, (watched,)).fetchall())

    assert len(after) > 20
    assert after == before
    assert (after["user"], after["replication"]) == ("mover", "origin")


def test_what_an_address_asks_for_is_kept_unless_it_is_ours(spoilt: Yard) -> None:
    dsn = make_conninfo(
        spoilt.endpoints.databases["yard"],
        options="-c work_mem=9MB -c search_path=audit -c role=clerk -c row_security=on",
    )
    with connect(dsn, purpose="test") as session:
        query = (
            "SELECT current_setting('work_mem'), current_setting('search_path'), current_user, "
            "current_setting('row_security')"
        )
        assert session.execute(query).fetchone() == ("9MB", "pg_catalog, pg_temp", "clerk", "off")


def test_a_role_that_begins_in_the_replica_role_and_may_not_leave_it_is_told(spoilt: Yard) -> None:
    with plain(spoilt, "monolith") as connection:
        connection.execute("REVOKE SET ON PARAMETER session_replication_role FROM mover")
        connection.execute(f"ALTER DATABASE {spoilt.databases[0]} SET session_replication_role = replica".encode())

    with pytest.raises(PreflightError, match="begin in the replica role") as caught:
        spoilt.start()

    assert "RESET session_replication_role" in caught.value.remedy


@pytest.mark.parametrize("whose", ["ROLE mover", "ROLE mover IN DATABASE {database}"])
def test_a_role_whose_streams_would_be_another_s_is_told(spoilt: Yard, whose: str) -> None:
    setting = f"ALTER {whose.format(database=spoilt.databases[1])}"
    with plain(spoilt, "service") as connection:
        connection.execute(f"{setting} SET role = clerk".encode())

        with pytest.raises(PreflightError, match="sessions of the role mover become clerk here") as caught:
            spoilt.start()

        for statement in caught.value.remedy.split("; "):
            connection.execute(statement.encode())
    spoilt.start()
