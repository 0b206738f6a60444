"""A full disk stops neither the supervisor nor who wants to end the stack."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from depot import Depot, eventually, gone_at_the_end
from strangler.stack import identity

ELSEWHERE = """
[project]
name = "depot"
ledger = "depot"
monolith = "web"

[gateway]
address = "http://127.0.0.1:9"

[broker]
url = "amqp://elsewhere"

[databases.depot]
url = "postgresql://nobody@127.0.0.1:9/depot"

[processes.web]
address = "http://127.0.0.1:9"

[processes.worker]
directory = "app"
command = ["sleep", "1000"]
"""


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Depot]:
    """A project whose state is on a disk of 1 MiB, and all of whose servers are elsewhere."""
    (tmp_path / "var").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "var")]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {made.stderr.strip()}")
    try:
        with gone_at_the_end(Depot(tmp_path)) as depot:
            depot.file.write_text(ELSEWHERE)
            yield depot
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "var")], check=True)


def fill(depot: Depot) -> Path:
    """Leaves no byte of the disk free."""
    ballast = depot.state / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    assert os.statvfs(depot.state).f_bavail == 0
    return ballast


def worker(depot: Depot) -> int:
    pid: int = depot.kept()["processes"]["worker"]["pid"]
    return pid


def alive(depot: Depot) -> set[int]:
    return {each.pid for each in depot.survivors()}


def test_a_process_that_dies_on_a_full_disk_is_started_again_and_noted_once_there_is_room(narrow: Depot) -> None:
    narrow.up()
    supervisor, first = narrow.kept()["supervisor"]["pid"], worker(narrow)
    before = alive(narrow)
    ballast = fill(narrow)

    os.kill(first, signal.SIGKILL)
    eventually(lambda: bool(alive(narrow) - before))
    noted_while_full = worker(narrow)
    ballast.unlink()
    eventually(lambda: worker(narrow) != first)

    assert noted_while_full == first
    assert worker(narrow) in alive(narrow)
    assert identity.identify(supervisor)


def test_down_on_a_full_disk(narrow: Depot) -> None:
    narrow.up()
    fill(narrow)

    done = narrow.run("down")

    assert (done.returncode, done.stderr) == (0, "")
    assert not narrow.survivors()


def test_up_on_a_full_disk_says_so(narrow: Depot) -> None:
    fill(narrow)

    done = narrow.run("up", "--detach")

    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
