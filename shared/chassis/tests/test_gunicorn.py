from __future__ import annotations

import http.client
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from chassis.servers import gunicorn, warmth
from library.programs import MIGRATE, WEB, Running, run
from library.waiting import until


@pytest.fixture
def configuration(monkeypatch):
    """Reads the module again under the environment it is given."""

    def read(**environment: str):
        for name in ("BIND", "PORT", "WEB_WORKERS", "WEB_THREADS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return importlib.reload(gunicorn)

    return read


def test_it_listens_on_the_loopback_at_its_port(configuration):
    assert configuration(PORT="8123").bind == "127.0.0.1:8123"


def test_an_explicit_address_wins(configuration):
    assert configuration(PORT="8123", BIND="0.0.0.0:80").bind == "0.0.0.0:80"


def test_workers_and_threads_come_from_the_environment(configuration):
    read = configuration(WEB_WORKERS="3", WEB_THREADS="5")

    assert (read.workers, read.threads) == (3, 5)


@pytest.mark.parametrize("version", ["23.0.0", "25.1.0", "20.1.0.dev1"])
def test_an_older_gunicorn_is_refused_with_what_to_do(version):
    with pytest.raises(SystemExit) as refused:
        gunicorn.refuse_older(version)

    assert f"needs gunicorn 25.2 or later, and here is {version}" in str(refused.value)


@pytest.mark.parametrize("version", ["25.2.0", "27.0.1", "100.0"])
def test_a_later_gunicorn_is_not_refused(version):
    gunicorn.refuse_older(version)


def test_a_worker_gets_warm_without_the_packages_that_read_tokens(monkeypatch, settings, caplog):
    settings.CHASSIS_JWKS_URL = ""
    monkeypatch.setitem(sys.modules, "chassis.identity.tokens", None)  # an import of it fails

    with ThreadPoolExecutor(1) as threads:
        warmth.warm(threads, connections=0)

    assert caplog.messages == []


def test_workers_are_told_how_many_threads_they_have(configuration):
    read = configuration()

    assert read.raw_env == [f"WEB_THREADS={read.threads}"]


def test_samples_are_not_begun_before_it_is_said_where_they_are_kept():
    told = "import sys, chassis.servers.gunicorn, chassis.servers.web; sys.exit('prometheus_client' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0


def test_starting_forgets_the_samples_of_an_earlier_run(monkeypatch, tmp_path):
    directory = tmp_path / "metrics"
    directory.mkdir()
    (directory / "counter_1.db").write_bytes(b"old")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))

    gunicorn.on_starting(SimpleNamespace())

    assert directory.is_dir()
    assert list(directory.iterdir()) == []


def test_without_a_folder_for_the_samples_it_makes_one_and_leaves_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = SimpleNamespace()

    gunicorn.on_starting(server)
    assert [str(folder) for folder in tmp_path.iterdir()] == [os.environ["PROMETHEUS_MULTIPROC_DIR"]]

    gunicorn.on_exit(server)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_given_is_left_alone_at_the_end(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    server = SimpleNamespace()

    gunicorn.on_starting(server)
    gunicorn.on_exit(server)

    assert (tmp_path / "metrics").is_dir()


def test_who_is_asked_to_end_answers_what_has_begun(server, tmp_path):
    run(MIGRATE, DATABASE_URL=server.url)
    begun, go = tmp_path / "begun", tmp_path / "go"
    with Running(WEB, tmp_path / "web.log", DATABASE_URL=server.url) as web, ThreadPoolExecutor(1) as thread:
        web.await_status("/readyz", 200)
        answer = thread.submit(web.post, f"/books/when-told?begun={begun}&go={go}")
        until(begun.exists)

        web.signal()
        until(lambda: web.is_closed)
        go.touch()

        assert answer.result(60).status_code == 201
        assert web.process.wait(60) == 0


UNREADABLE = {
    b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n": 400,
    b"GET / HTTP/7.7\r\n\r\n": 400,
    b"nonsense\r\n\r\n": 400,
    b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n": 414,
    b"GET / HTTP/1.1\r\nX-A: " + b"x" * 70_000 + b"\r\n\r\n": 431,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n": 501,
}


def test_what_gunicorn_cannot_read_is_answered_in_json(server, tmp_path):
    run(MIGRATE, DATABASE_URL=server.url)
    with Running(WEB, tmp_path / "web.log", DATABASE_URL=server.url) as web:
        web.await_status("/readyz", 200)
        answers = {request: exchange(web.port, request) for request in UNREADABLE}

    assert {request: status for request, (status, _) in answers.items()} == UNREADABLE
    assert all(list(body) == ["detail"] for _, body in answers.values())


def exchange(port: int, request: bytes) -> tuple[int, dict[str, str]]:
    """Status and body of what is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


def test_a_dead_worker_takes_its_live_gauges_along(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "gauge_livesum_77.db").write_bytes(b"")
    (tmp_path / "counter_77.db").write_bytes(b"")

    gunicorn.child_exit(SimpleNamespace(), SimpleNamespace(pid=77))

    assert [path.name for path in tmp_path.iterdir()] == ["counter_77.db"]
