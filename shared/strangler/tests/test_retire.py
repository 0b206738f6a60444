"""Which processes of a monolith the local stack stops, and whether the others answer."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from envoys import Side, free_port, says
from strangler.adapters import toml
from strangler.domain.project import Project
from strangler.stack import processes
from strangler.stack.retirement import retire, run_here

FILE = """
[project]
name = "depot"
ledger = "old"
monolith = "web"

[databases.old]
embedded = true

[processes.web]
directory = "."
command = ["serve"]
http = true
database = "old"
address_env = "WEB_URL"

[processes.worker]
directory = "."
command = ["work"]
database = "old"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("WEB_URL", raising=False)
    path = tmp_path / "strangler.toml"
    path.write_text(FILE)
    return path


def here(project: Project) -> list[str]:
    return run_here(project, list(project.processes))


def test_a_local_monolith_is_the_stack_s_with_all_its_processes(file: Path) -> None:
    assert here(toml.load(file)) == ["web", "worker"]


def test_where_it_runs_elsewhere_its_workers_do_so_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_URL", "http://web")
    monkeypatch.setenv("STRANGLER_STATE", "/proc/nowhere")
    project = toml.load(file)

    assert here(project) == []

    retire(project, [], within=0)  # and no note is needed


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAUSES", (0.2, 0.2))


@pytest.mark.parametrize("status", [200, 404, 503])
def test_whoever_answers_is_there_be_he_well_or_not(status: int) -> None:
    side = Side("web", lambda _: (status, {}, b""))
    side.start()

    assert processes.answers(f"{side.address}/up")

    side.stop()


def test_nobody_is_there_where_a_connection_is_refused_or_a_name_unknown() -> None:
    assert not processes.answers(f"http://127.0.0.1:{free_port()}/up")
    assert not processes.answers("http://no-such-host.invalid/up")


def test_who_takes_a_connection_and_says_nothing_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert processes.answers(f"http://127.0.0.1:{mute.getsockname()[1]}/up")


def test_who_is_being_started_again_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAUSES", (0.2,) * 100)
    side = Side("web", says("web"))
    side.port = free_port()
    back = threading.Timer(0.1, side.start)
    back.start()

    assert processes.answers(f"{side.address}/up")

    back.join()
    side.stop()
