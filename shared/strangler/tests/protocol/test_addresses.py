"""Servers and processes that get other addresses while a move is under way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from servers import Cluster, Connection, eventually
from strangler.application.ending import complete
from strangler.application.watch import patrol
from strangler.domain.errors import PreflightError
from strangler.domain.project import Database
from yard import Yard

NAMES = {"forward": "service", "reverse": "monolith"}  # by direction, the side that subscribes
CALLED = {"forward": "strangler_yard_crates_forward", "reverse": "strangler_depot_crates_reverse"}


def patrolled(made: Yard) -> list[str]:
    """The report of one look of `strangler serve`."""
    told: list[str] = []
    with made.working() as parts:
        patrol(parts, lambda _, what: told.append(what))
    return told


def written(connection: Connection, direction: str) -> str:
    row = connection.execute(
        "SELECT subconninfo FROM pg_subscription WHERE subname = %s", (CALLED[direction],)
    ).fetchone()
    assert row is not None
    return str(row[0])


def led_astray(made: Yard, direction: str) -> None:
    """Gives the subscription an address at which no server is any more."""
    with made.side(NAMES[direction]) as connection:
        nowhere = make_conninfo(written(connection, direction), port=1)
        connection.execute(f"ALTER SUBSCRIPTION {CALLED[direction]} CONNECTION '{nowhere}'".encode())
    sender = "monolith" if direction == "forward" else "service"
    with made.side(sender) as connection:
        active = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{CALLED[direction]}' AND active"
        eventually(lambda: not connection.execute(active.encode()).fetchone())


def running(made: Yard) -> bool:
    with made.working() as parts:
        return all(stream.active for stream in parts.replication.streams())


@pytest.mark.parametrize("direction", NAMES)
def test_a_stream_follows_its_sender_to_another_address(moving: Yard, direction: str) -> None:
    led_astray(moving, direction)
    with moving.monolith() as here:
        here.execute("UPDATE visit SET code = 'meanwhile'")

    told = patrolled(moving)

    assert len(told) == 1
    assert told[0].startswith(f"the {direction} stream now comes from postgresql://127.0.0.1:")
    eventually(lambda: running(moving))
    moving.catch_up("monolith")
    assert patrolled(moving) == []
    assert moving.verify().differing == 0
    with moving.monolith() as here:
        assert here.execute("SELECT what FROM strangler.history WHERE what = %s", (told[0],)).fetchone()


def test_an_address_that_the_other_server_cannot_reach_is_not_taken(moving: Yard) -> None:
    away = Database(name="yard", url="unused", replication_url="postgresql://nobody@127.0.0.1:1/nowhere")
    databases = {**moving.project.databases, "yard": away}
    with moving.service() as there:
        before = written(there, "forward")

        with pytest.raises(PreflightError, match="this server cannot reach"):
            patrolled(replace(moving, project=replace(moving.project, databases=databases)))

        assert written(there, "forward") == before
    assert running(moving)


def test_another_spelling_of_an_address_is_followed_while_the_stream_runs(moving: Yard) -> None:
    dsn = moving.endpoints.databases["yard"]
    longer = Database(name="yard", url="unused", replication_url=make_conninfo(dsn, connect_timeout=7))
    moved = replace(moving, project=replace(moving.project, databases={**moving.project.databases, "yard": longer}))

    assert len(patrolled(moved)) == 1

    with moving.service() as there:
        assert conninfo_to_dict(written(there, "forward"))["connect_timeout"] == "7"
    eventually(lambda: running(moving))
    assert patrolled(moved) == []


def test_a_side_learns_where_the_other_s_process_has_gone_and_which_routes_there_are(moving: Yard) -> None:
    capability = replace(moving.project.capabilities["crates"], routes=moving.project.capabilities["crates"].routes[:1])
    moved = replace(
        moving,
        project=replace(moving.project, capabilities={"crates": capability}),
        endpoints=replace(moving.endpoints, addresses={"office": "http://office:1", "depot": "http://depot:2"}),
    )

    told = patrolled(moved)

    assert [one.split(",")[0] for one in told] == [
        "the monolith now knows the service at http://depot:2",
        "the service now knows the monolith at http://office:1",
    ]
    rows = []
    for side in ("monolith", "service"):
        with moving.side(side) as connection:
            connection.execute("LISTEN strangler_side")
            rows.append(connection.execute("SELECT peer_url, routes, open, epoch FROM strangler.side").fetchone())
            assert patrolled(moved) == []
            assert list(connection.notifies(timeout=0)) == []
    routes = [{"methods": ["GET", "POST"], "pattern": "/crates"}]
    assert rows == [("http://depot:2", routes, True, 1), ("http://office:1", routes, False, 1)]


def test_after_the_end_only_what_is_left_is_followed(moving: Yard) -> None:
    moving.switch()
    with moving.working() as parts:
        complete(parts, drop=False, unused_for=0, unread_for=0)

    led_astray(moving, "reverse")

    assert len(patrolled(moving)) == 1


def test_no_server_logs_a_password_whether_the_other_is_reached_or_not(
    ground: Yard, clusters: tuple[Cluster, Cluster]
) -> None:
    for side, database in zip(("monolith", "service"), ground.databases, strict=True):
        with ground.side(side) as connection:
            connection.execute(f"ALTER DATABASE {database} SET log_statement = 'ddl'".encode())
            connection.execute(f"ALTER DATABASE {database} SET log_min_duration_statement = 0".encode())
            connection.execute(f"ALTER DATABASE {database} SET log_parameter_max_length = 0".encode())
    nowhere = "postgresql://nobody:canary@127.0.0.1:1/nowhere"
    away = Database(name="yard", url="unused", replication_url=nowhere)
    astray = replace(ground, project=replace(ground.project, databases={**ground.project.databases, "yard": away}))
    with pytest.raises(PreflightError, match="this server cannot reach") as caught:
        astray.start()
    ground.start()

    assert "canary" not in str(caught.value)
    for cluster in clusters:
        said = cluster.said()
        assert "_crates_" in said
        assert "canary" not in said
        assert "CONNECTION 'postgres" not in said
        assert "password=" not in said
