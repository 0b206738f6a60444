"""The right to act is a row that only the tool can write, and that dies with its holder's session."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from servers import Cluster, Connection, eventually
from strangler.adapters.postgres.schema import installing
from strangler.adapters.postgres.schema import ledger as ledgers
from strangler.adapters.postgres.schema.lease import PostgresLease
from strangler.adapters.postgres.schema.ledger import PostgresLedger
from strangler.adapters.postgres.session.connection import connect
from strangler.domain.errors import RefusedError
from strangler.ports.side import LostError
from yard import Yard

# Any role could take these locks, so that an older version of the tool waited for ever.
KNOWN = """
SELECT pg_advisory_lock(hashtext('strangler'), hashtext('crates')), pg_advisory_lock(hashtext('strangler install')),
       pg_advisory_lock(hashtext('strangler lease'), hashtext('serve'))
"""


@pytest.fixture
def dsn(cluster: Cluster) -> Iterator[str]:
    cluster.create("leases")
    with connect(cluster.dsn("leases"), purpose="test") as connection:
        installing.install_ledger(connection)
    yield cluster.dsn("leases")
    cluster.clean("leases")


def end(connection: Connection, holder: str) -> None:
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (f"strangler {holder}",)
    )
    assert ended.rowcount == 1


def test_a_whole_move_goes_on_while_others_hold_every_lock_that_anybody_may_take(
    ground: Yard, roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "LOCK_SECONDS", 0.2)
    with ground.clusters[0].connect(ground.databases[0], user=roles[1]) as stranger:
        stranger.execute(KNOWN)
        ground.move_to_service()
        ground.switch("reverse")
        serving = PostgresLease(ground.endpoints.databases["yard"], "serve", "serve one")
        assert serving.keep()
        serving.give_up()


def test_of_many_that_try_at_once_one_has_it(dsn: str) -> None:
    everybody = [PostgresLease(dsn, "serve", f"serve {number}") for number in range(8)]
    start = threading.Barrier(len(everybody))
    found: list[bool] = []

    def try_it(one: PostgresLease) -> None:
        one.holder()
        start.wait(30)
        found.append(one.keep())

    for _ in range(10):
        threads = [threading.Thread(target=try_it, args=(one,)) for one in everybody]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(found) == [False] * 7 + [True]
        found.clear()
        for one in everybody:
            if one.held:
                one.give_up()
        eventually(lambda: everybody[0].holder() == "")
    for one in everybody:
        one.give_up()


def test_a_holder_that_is_gone_holds_nothing_and_knows_it(dsn: str, cluster: Cluster) -> None:
    one, two = PostgresLease(dsn, "serve", "serve one"), PostgresLease(dsn, "serve", "serve two")
    assert one.keep()
    assert one.keep()
    assert not two.keep()
    assert two.holder() == "serve one"

    with cluster.connect("leases") as connection:
        end(connection, "serve one")
    eventually(two.keep)

    with pytest.raises(LostError):
        one.keep()
    assert not one.held
    assert not one.keep()
    assert one.holder() == "serve two"
    one.give_up()
    two.give_up()


def test_a_row_of_a_session_that_ended_before_a_restart_is_worth_nothing_though_its_number_is_used_again(
    dsn: str, cluster: Cluster
) -> None:
    lease = PostgresLease(dsn, "serve", "serve one")
    with cluster.connect("leases") as connection:
        connection.execute(
            "INSERT INTO strangler.lease (name, pid, began, holder) "
            "SELECT 'serve', pid, backend_start - interval '1 day', 'before' FROM pg_stat_activity "
            "WHERE pid = pg_backend_pid()"
        )

        assert lease.holder() == ""
        assert lease.keep()
    lease.give_up()


def test_a_session_of_another_database_holds_nothing_though_it_has_the_number(dsn: str, cluster: Cluster) -> None:
    lease = PostgresLease(dsn, "serve", "serve one")
    with cluster.connect("leases") as connection, cluster.connect() as elsewhere:
        row = elsewhere.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone()
        connection.execute("INSERT INTO strangler.lease VALUES ('serve', %s, %s, 'before')", row)

        assert lease.holder() == ""
        assert lease.keep()
    lease.give_up()


def test_a_coordinator_that_has_lost_its_session_writes_nothing_more(dsn: str, cluster: Cluster) -> None:
    ledger, other = PostgresLedger(dsn), PostgresLedger(dsn)
    ledger.begin("crates")
    with ledger.coordinating("crates"):
        with cluster.connect("leases") as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM strangler.lease WHERE name = 'move crates'")
        eventually(lambda: other.try_lock("crates"))
        with pytest.raises(LostError):
            ledger.note_step("crates", "a step", epoch=1)

    move = other.move("crates")
    assert move is not None
    assert move.step is None
    with pytest.raises(RefusedError, match="another command is at work"), ledger.coordinating("crates"):
        pass
    ledger.close()
    other.close()


def test_a_ledger_of_an_older_version_gets_the_table_when_somebody_acts(dsn: str, cluster: Cluster) -> None:
    with cluster.connect("leases") as connection:
        connection.execute("DROP TABLE strangler.lease")
        connection.execute("COMMENT ON SCHEMA strangler IS 'side=1 ledger=1'")
    ledger = PostgresLedger(dsn)

    assert ledger.try_lock("crates")

    with cluster.connect("leases") as connection:
        assert connection.execute("SELECT name FROM strangler.lease").fetchall() == [("move crates",)]
    ledger.close()


def test_nobody_holds_a_transaction_open_for_it(dsn: str, cluster: Cluster) -> None:
    ledger = PostgresLedger(dsn)
    with ledger.coordinating("crates"), cluster.connect("leases") as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'strangler%' "
            "AND datname = current_database() AND (backend_xid IS NOT NULL OR state LIKE 'idle in%')"
        )
        assert connection.execute(query).fetchone() == (0,)
    ledger.close()


def test_applications_may_look_into_the_schema_from_its_first_moment_on(
    ground: Yard, roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def looked_at(connection: Connection, scripts: Sequence[str]) -> None:
        with ground.monolith() as application:
            application.execute("SET ROLE clerk")
            seen.append(application.execute("SELECT to_regclass('strangler.side')").fetchone())

    monkeypatch.setattr(installing, "_run", looked_at)
    with connect(ground.endpoints.databases["yard"], purpose="test") as connection:
        installing.install(connection)

    assert seen == [(None,)]
