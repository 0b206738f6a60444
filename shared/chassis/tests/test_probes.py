"""What processes say of themselves that serve nothing else, on servers that come late, go, and come back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from chassis.process import vitals
from chassis.servers import health, probes
from library.programs import MIGRATE, RELAY, SWEEPER, WORKER, Running, run
from library.waiting import until
from server_node import ServerNode

LOOPS = [pytest.param(RELAY, id="relay"), pytest.param(SWEEPER, id="sweeper"), pytest.param(WORKER, id="worker")]


@pytest.fixture
def begin(tmp_path: Path, server: ServerNode, rabbitmq: str):
    """Starts a process on the test's own servers."""
    return lambda command, **environment: Running(
        command, tmp_path / "process.log", **{"DATABASE_URL": server.url, "BROKER_URL": rabbitmq, **environment}
    )


@pytest.fixture
def address(monkeypatch) -> Iterator[str]:
    """Where this process answers."""
    monkeypatch.setattr(vitals, "_followed", set())
    served = probes.serve(0)
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


@pytest.mark.parametrize("command", LOOPS)
def test_it_waits_for_database_and_migrations_and_says_so_once(begin, server, command):
    server.stop()
    with begin(command) as process:
        assert process.get("/healthz").json() == {"status": "alive"}
        assert process.get("/readyz").json() == {"status": "unready", "reason": "the database does not answer"}

        server.start()
        until(lambda: "migrations are not applied" in process.said, 60)
        assert "not applied" in process.get("/readyz").text
        run(MIGRATE, DATABASE_URL=server.url, BROKER_URL="memory://")

        process.await_status("/readyz", 200)
        until(lambda: '"waiting_over"' in process.said, 60)
        assert process.get("/healthz").json() == {"status": "alive"}
        assert process.said.count("migrations are not applied") == 1
        assert "Traceback" not in process.said
        assert process.end() == 0


@pytest.mark.parametrize("command", LOOPS)
def test_a_database_that_goes_and_comes_makes_it_unready_and_leaves_it_alive(begin, server, command):
    run(MIGRATE, DATABASE_URL=server.url, BROKER_URL="memory://")
    with begin(command) as process:
        process.await_status("/readyz", 200)

        server.stop()
        process.await_status("/readyz", 503)
        assert process.get("/healthz").status_code == 200

        server.start()
        process.await_status("/readyz", 200)
        assert process.get("/healthz").status_code == 200
        assert process.end() == 0


@pytest.mark.parametrize("command", LOOPS)
def test_who_is_asked_to_end_before_its_database_is_there_ends_at_once(begin, server, command):
    server.stop()
    with begin(command) as process:
        until(lambda: '"waiting"' in process.said, 60)

        assert process.end() == 0


def test_a_worker_or_relay_without_its_broker_is_ready_and_alive_and_ends_when_asked(begin, server):
    run(MIGRATE, DATABASE_URL=server.url, BROKER_URL="memory://")
    for command in (RELAY, WORKER):
        with begin(command, BROKER_URL="amqp://127.0.0.1:1") as process:
            process.await_status("/readyz", 200)
            until(lambda: "refused" in process.said, 60)

            assert process.get("/healthz").status_code == 200
            assert process.end() == 0


def test_a_sweeper_sweeps_what_was_queued_while_it_was_not_there(begin, server):
    run(MIGRATE, DATABASE_URL=server.url, BROKER_URL="memory://")
    with psycopg.connect(server.url, autocommit=True) as session, begin(SWEEPER) as sweeper:
        sweeper.await_status("/readyz", 200)
        session.execute(
            "CREATE SCHEMA strangler;"
            "CREATE TABLE strangler.side (capability text, side text, epoch bigint, open boolean, bounce_to text, "
            "peer_url text, routes jsonb DEFAULT '[]', tables text[] DEFAULT '{}', pausing boolean DEFAULT false);"
            "CREATE TABLE strangler.swept (capability text PRIMARY KEY, rows bigint);"
            "CREATE TABLE strangler.orphan (id bigserial, capability text, table_name text, key text, columns jsonb, "
            "attempts int DEFAULT 0, error text, retry_at timestamptz DEFAULT now());"
            "INSERT INTO strangler.side (capability, open, tables) VALUES ('books', false, '{public.library_book}');"
            "INSERT INTO strangler.orphan (capability, table_name, columns) "
            """VALUES ('books', 'library_book', '{"id": "7"}');"""
            "NOTIFY strangler_orphan"
        )

        until(lambda: 'chassis_references_swept_total{outcome="done"} 1.0' in sweeper.get("/metrics").text, 60)
        assert session.execute("SELECT capability, rows FROM strangler.swept").fetchall() == [("books", 1)]
        assert sweeper.end() == 0


def test_a_loop_that_stands_still_makes_the_process_stuck(address):
    pulse = vitals.Pulse("carousel", within=-1)
    vitals.follow(pulse)

    answer = httpx.get(f"{address}/healthz")

    assert (answer.status_code, answer.json()) == (503, {"status": "stuck", "loops": ["carousel"]})


def test_metrics_are_in_the_text_format_and_other_addresses_are_not_there(address):
    assert "chassis_admission_waiting" in httpx.get(f"{address}/metrics").text
    assert httpx.get(f"{address}/").status_code == 404
    assert httpx.head(f"{address}/healthz").status_code == 200
    assert httpx.post(f"{address}/healthz").status_code == 501


def test_it_is_asked_for_by_the_environment(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "chassis.servers.probes")
    monkeypatch.delenv("METRICS_PORT", raising=False)

    probes.serve_if_asked()

    assert not caplog.records


@pytest.mark.django_db
def test_a_migrated_database_is_not_waited_for(caplog):
    health.await_database(threading.Event())

    assert not caplog.records
