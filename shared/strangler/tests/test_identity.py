"""Processes are identified by pid and start, found by their mark, and awaited without polling."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from strangler.stack import identity


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, identity.MARK: str(tmp_path)}
    with subprocess.Popen(["sleep", "1000"], env=environment, start_new_session=True) as process:
        yield process
        process.kill()


def known(process: subprocess.Popen[bytes]) -> identity.Identity:
    found = identity.identify(process.pid)
    assert found is not None
    return found


def test_another_process_with_the_same_pid_is_not_the_same(sleeper: subprocess.Popen[bytes]) -> None:
    former = replace(known(sleeper), started="boot/1")

    identity.send(former, signal.SIGKILL)

    assert not identity.is_alive(former)
    assert identity.is_alive(known(sleeper))
    assert identity.await_end([former], 0) == []


def test_an_unreaped_process_counts_as_gone(sleeper: subprocess.Popen[bytes]) -> None:
    it = known(sleeper)

    assert identity.kill([it]) == []

    assert not identity.is_alive(it)
    assert identity.is_taken(sleeper.pid)


def test_waiting_ends_with_the_process_or_in_time(sleeper: subprocess.Popen[bytes]) -> None:
    it = known(sleeper)
    began = time.monotonic()

    assert identity.await_end([it], 0.05) == [it]

    assert time.monotonic() - began < 20


def test_processes_are_found_by_mark_and_by_session(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert identity.remnants(tmp_path) == [known(sleeper)]
    assert identity.remnants(tmp_path / "other") == []
    assert identity.session(sleeper.pid) == [known(sleeper)]


def test_signals_to_the_dead_are_no_error(sleeper: subprocess.Popen[bytes]) -> None:
    it = known(sleeper)
    sleeper.kill()
    sleeper.wait()

    identity.send(it, signal.SIGTERM)

    assert identity.identify(it.pid) is None
