"""The tool without a superuser, and applications with other roles than the tool's."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import Cluster, eventually
from strangler.application.ending import cancel
from strangler.application.watch import patrol
from strangler.domain.errors import PreflightError, RefusedError
from yard import Yard, contents, footprint, grant_all, yard


def test_missing_privileges_are_told_with_statements_that_suffice(owned: Yard) -> None:
    for side in ("monolith", "service"):
        before = footprint(owned)
        with pytest.raises(PreflightError, match="the role mover lacks") as caught:
            owned.start()
        assert footprint(owned) == before
        assert "SET on session_replication_role" in caught.value.message
        assert "pg_read_all_stats" in caught.value.message
        with owned.side(side) as connection:
            for statement in caught.value.remedy.split("; "):
                connection.execute(statement.encode())

    owned.start()
    owned.verify()
    owned.switch()
    with owned.service() as there:
        there.execute("SET ROLE clerk")
        there.execute('UPDATE "Crate" SET weight = 7')
        there.execute("DELETE FROM ticket")
    assert owned.verify().differing == 0
    owned.switch("reverse")
    with owned.working() as parts:
        cancel(parts)
    assert owned.doctor() == []


def test_tables_of_another_role_are_refused(owned: Yard) -> None:
    for side, database in zip(("monolith", "service"), owned.databases, strict=True):
        with owned.side(side) as connection:
            connection.execute("REVOKE clerk FROM mover")
            connection.execute("ALTER ROLE mover SUPERUSER")
            connection.execute("ALTER ROLE mover NOSUPERUSER REPLICATION")
            connection.execute(f"GRANT CREATE ON DATABASE {database} TO mover".encode())
            connection.execute("GRANT pg_create_subscription, pg_read_all_stats TO mover")
            connection.execute("GRANT SET ON PARAMETER session_replication_role TO mover")
            for name in ("create", "drop", "oid", "session_setup", "session_reset"):
                connection.execute(f"GRANT EXECUTE ON FUNCTION pg_replication_origin_{name} TO mover".encode())

    with pytest.raises(PreflightError, match="the role mover does not own Crate") as caught:
        owned.start()

    assert caught.value.remedy.startswith("make it a member of the owner's role")


def test_a_role_that_sees_no_transactions_of_others_is_refused_for_the_gate_would_be_blind(owned: Yard) -> None:
    grant_all(owned)
    for revoked in ("monolith", "service"):
        with owned.side(revoked) as connection:
            connection.execute("REVOKE pg_read_all_stats FROM mover")
            before = footprint(owned)

            with pytest.raises(
                PreflightError, match="the role mover lacks membership in pg_read_all_stats\n"
            ) as caught:
                owned.start()

            assert footprint(owned) == before
            assert caught.value.remedy == "GRANT pg_read_all_stats TO mover WITH INHERIT TRUE"
            assert caught.value.place.endswith(owned.databases[("monolith", "service").index(revoked)])
            connection.execute(caught.value.remedy.encode())


def test_a_transaction_of_another_role_shuts_the_gate(owned: Yard) -> None:
    grant_all(owned)
    owned.start()
    owned.verify()
    with owned.monolith() as connection, owned.working() as parts:
        connection.execute("SET ROLE clerk")
        connection.execute("BEGIN")
        connection.execute("UPDATE reading SET value = 1 WHERE sensor = 1")
        eventually(lambda: any(blocker.seconds > 1.0 for blocker in parts.monolith.blockers()))

        with pytest.raises(RefusedError, match=r"(?s)gate transactions \(monolith\).*UPDATE reading"):
            owned.switch(timeout=0.1)

        connection.execute("COMMIT")
    owned.switch()


def test_a_role_that_may_not_read_where_a_subscription_leads_gives_a_stopped_one_its_address(owned: Yard) -> None:
    grant_all(owned)
    owned.start()
    with owned.service() as there, owned.working() as parts:
        assert parts.replication.readdress() == []
        nowhere = "host=127.0.0.1 port=1 user=mover password=mover dbname=nowhere"
        name = parts.replication.forward.name  # type: ignore[attr-defined]
        there.execute(f"ALTER SUBSCRIPTION {name} CONNECTION '{nowhere}'".encode())
        eventually(lambda: not parts.replication.streams()[0].active)

        # A process looks only once; the next process, as after a change of the configuration, does it.
        assert parts.replication.readdress() == []
        with owned.working() as fresh:
            assert len(fresh.replication.readdress()) == 1

        eventually(lambda: parts.replication.streams()[0].active)


def test_a_role_turns_fences_right_and_finds_nothing_where_nothing_is(owned: Yard) -> None:
    grant_all(owned)
    owned.start()
    owned.verify()
    assert owned.doctor() == []
    for side in ("monolith", "service"):
        with owned.side(side) as connection:
            connection.execute("ALTER TABLE visit DISABLE TRIGGER ALL; ALTER TABLE visit ENABLE TRIGGER ALL")
    told: list[str] = []

    with owned.working() as parts:
        patrol(parts, lambda _, what: told.append(what))

    assert len(told) == 3
    assert owned.doctor() == []
    owned.verify()
    owned.switch()


def test_a_sequence_that_the_role_may_not_set_is_refused(owned: Yard) -> None:
    grant_all(owned)
    with owned.service() as connection:
        connection.execute("ALTER SEQUENCE visit_codes OWNER TO CURRENT_USER")

    with pytest.raises(PreflightError, match="this role may not read and set its sequence there"):
        owned.start()


def test_a_deletion_that_arrives_is_queued_though_the_owner_of_the_table_may_write_no_queue(
    clusters: tuple[Cluster, Cluster], roles: tuple[str, str], tmp_path: Path
) -> None:
    with yard(clusters, tmp_path, owner="clerk") as made:
        made.move_to_service()
        with made.service() as there, made.monolith() as here:
            there.execute("SET ROLE clerk")
            row = there.execute('SELECT id FROM "Crate" WHERE weight = 29.125').fetchone()
            assert row is not None
            there.execute("DELETE FROM ticket WHERE crate = %s", row)
            there.execute('DELETE FROM bays."Bay slot" WHERE crate = %s', row)
            there.execute('DELETE FROM "Crate" WHERE id = %s', row)
            made.catch_up("service")

            here.execute("SET ROLE clerk")
            queued = here.execute("SELECT capability, table_name, key FROM strangler.orphan").fetchall()
            assert queued == [("crates", "Crate", str(row[0]))]
            assert here.execute("DELETE FROM strangler.orphan").rowcount == 1
            eventually(lambda: contents(here) == contents(there))
