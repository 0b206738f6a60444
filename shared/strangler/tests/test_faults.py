"""The tool's half of faults, in a real database, and what it refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from projects import project
from servers import Cluster
from strangler.adapters.postgres import faults as rows
from strangler.cli import fault as verb
from strangler.domain import faults
from strangler.domain.errors import RefusedError, StranglerError
from strangler.domain.faults import FAULTS, VARIABLE
from strangler.domain.project import Capability, Database, Process, Project

NAME = "faulty"


@pytest.fixture
def dsn(cluster: Cluster) -> Iterator[str]:
    cluster.create(NAME)
    with cluster.connect(NAME) as session:
        session.execute('CREATE TABLE thing (id int PRIMARY KEY); CREATE TABLE "Odd one" (id int PRIMARY KEY)')
    yield cluster.dsn(NAME)
    cluster.drop(NAME)


def yard(tmp_path: Path, *, embedded: bool = True, calls: tuple[str, ...] = ("bank",)) -> Project:
    database = {"embedded": True} if embedded else {"url": "postgresql://u:p@h/db"}
    return project(
        tmp_path,
        ledger="old",
        monolith="web",
        databases={name: Database(name, **database) for name in ("old", "new", "other")},  # type: ignore[arg-type]
        processes={"web": Process("web", database="old")},
        capabilities={"things": Capability("things", ["thing"], [], "things", "new")},
        slow_calls=calls,
    )


def triggers(dsn: str) -> int:
    with psycopg.connect(dsn) as session:
        row = session.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'strangler_fault'").fetchone()
    assert row
    return int(row[0])


def test_what_was_switched_on_is_shown_and_off_leaves_nothing(dsn: str) -> None:
    assert rows.present(dsn) == {}

    rows.switch_on(dsn, "errors", {"percent": 5}, ())
    rows.switch_on(dsn, "errors", {"percent": 7}, ())
    rows.switch_on(dsn, "full-queue", {"capability": "things"}, ())

    assert rows.present(dsn) == {"errors": {"percent": 7}, "full-queue": {"capability": "things"}}
    assert rows.switch_off(dsn, "errors")
    assert not rows.switch_off(dsn, "errors")
    assert rows.switch_off(dsn, None)
    with psycopg.connect(dsn) as session:
        assert session.execute("SELECT to_regnamespace('strangler_faults')").fetchone() == (None,)


def test_a_slowed_stream_leaves_ordinary_writes_alone(dsn: str) -> None:
    rows.switch_on(dsn, "slow-stream", {"milliseconds": 400}, ("thing", "public.Odd one"))
    assert triggers(dsn) == 2

    with psycopg.connect(dsn, autocommit=True) as session:

        def seconds(role: str) -> float:
            session.execute(f"SET session_replication_role = {role}".encode())
            began = time.monotonic()
            session.execute("INSERT INTO thing SELECT coalesce(max(id), 0) + 1 FROM thing")
            return time.monotonic() - began

        ordinary, streamed = min(seconds("origin") for _ in range(3)), seconds("replica")

    assert streamed >= 0.4 > ordinary
    rows.switch_off(dsn, "slow-stream")
    assert triggers(dsn) == 0


def test_a_slowed_stream_of_an_earlier_run_of_the_server_is_not_slow(dsn: str) -> None:
    rows.switch_on(dsn, "slow-stream", {"milliseconds": 20_000}, ("thing",))
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("UPDATE strangler_faults.fault SET server_started = '2000-01-01'")
        session.execute("SET session_replication_role = replica; SET statement_timeout = '10s'")
        session.execute("INSERT INTO thing VALUES (1)")

    assert rows.present(dsn) == {}
    assert not rows.switch_off(dsn, None)
    assert triggers(dsn) == 0


def test_a_table_that_somebody_holds_is_told_and_no_trigger_waits_for_ever(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LOCK_TIMEOUT", "200ms")
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE thing")

        with pytest.raises(RefusedError, match="a table is locked"):
            rows.switch_on(dsn, "slow-stream", {"milliseconds": 1}, ("thing",))

    assert rows.present(dsn) == {}


def test_each_fault_is_written_where_it_is_read(tmp_path: Path) -> None:
    depot = yard(tmp_path)

    where = {name: faults.databases(depot, fault, "things") for name, fault in FAULTS.items()}

    assert where == {
        "slow-call": ["new", "old", "other"],
        "raising-handler": ["new", "old"],
        "slow-stream": ["new", "old"],
        "errors": ["new"],
        "full-queue": ["new", "old", "other"],
    }


def test_the_only_capability_and_the_only_call_need_not_be_named(tmp_path: Path) -> None:
    depot = yard(tmp_path)

    assert faults.settings(depot, FAULTS["errors"], {"percent": None}) == {"percent": 5, "capability": "things"}
    assert faults.settings(depot, FAULTS["slow-call"], {}) == {"milliseconds": 2000, "call": "bank"}


def test_a_project_that_names_no_call_has_no_slow_one(tmp_path: Path) -> None:
    with pytest.raises(StranglerError, match="this project has no such fault"):
        faults.settings(yard(tmp_path, calls=()), FAULTS["slow-call"], {})


@pytest.mark.parametrize("embedded", [True, False])
def test_it_is_refused_where_no_stack_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: bool) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    with pytest.raises(RefusedError) as refused:
        verb.require_allowed(yard(tmp_path, embedded=embedded))

    assert refused.value.id == "fault-not-here"
    assert refused.value.exit_code == 2
    assert ("run elsewhere" if not embedded else "no local stack is up") in refused.value.message


def test_it_is_allowed_where_the_environment_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")

    verb.require_allowed(yard(tmp_path, embedded=False))
