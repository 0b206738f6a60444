"""Processes by identity, so that a recycled pid is never taken for the process that had it before.

Note "the mark": every process of a stack inherits ``STRANGLER_STACK`` in its environment, the path of
the stack's state folder. By it the processes that a stack left behind are found, even if the stack was
killed before it could note them. PostgreSQL overwrites its environment; it is found by its working folder.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "STRANGLER_STACK"

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Identity:
    """A pid and the time when it was started: clock ticks since the boot with this id."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """The process that has ``pid`` now; a zombie counts as gone."""
    fields = _stat(pid)
    return Identity(pid, f"{_boot()}/{fields[19]}") if fields and fields[0] not in "ZX" else None


def is_taken(pid: int) -> bool:
    """Whether the number is in use, if only by a zombie."""
    return (_PROC / str(pid)).exists()


def is_alive(identity: Identity) -> bool:
    return identify(identity.pid) == identity


def send(identity: Identity, number: int) -> None:
    """Sends a signal; nothing happens if the process has gone."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        # The pidfd belongs to the process that has the pid now. With the pidfd open, its identity can be checked for
        # sure.
        if is_alive(identity):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def await_end(identities: Iterable[Identity], seconds: float) -> list[Identity]:
    """Waits until the processes have ended; returns those that have not ended within ``seconds``."""
    deadline = time.monotonic() + seconds
    left = []
    for identity in identities:
        if not _ended(identity, deadline):
            left.append(identity)
    return left


def kill(identities: Iterable[Identity], seconds: float = 10) -> list[Identity]:
    """Kills with SIGKILL and waits for the end; returns processes that still live, which only the kernel can keep
    alive."""
    doomed = list(identities)
    for identity in doomed:
        send(identity, signal.SIGKILL)
    return await_end(doomed, seconds)


def session(leader: int) -> list[Identity]:
    """The processes of a session, whether or not its leader still lives."""
    return [found for found in map(identify, _pids()) if found and _session_of(found.pid) == leader]


def remnants(state: Path) -> list[Identity]:
    """All processes that still run of the stack whose state folder is ``state``; see the note "the mark"."""
    mark = f"{MARK}={state}".encode()
    servers = state / "postgres"
    mine = os.getpid()
    candidates = (pid for pid in _pids() if pid != mine)
    found = (identify(pid) for pid in candidates if _bears(pid, mark) or is_postgres_in(pid, servers))
    return [identity for identity in found if identity]


def is_postgres_in(pid: int, folder: Path) -> bool:
    """Whether ``pid`` is a server process of PostgreSQL that works in or below ``folder``."""
    try:
        program = (_PROC / str(pid) / "exe").readlink()
        return program.name.startswith("postgres") and (_PROC / str(pid) / "cwd").readlink().is_relative_to(folder)
    except OSError:
        return False


def postgres_in(folder: Path) -> list[Identity]:
    return [found for pid in _pids() if is_postgres_in(pid, folder) and (found := identify(pid))]


def _ended(identity: Identity, deadline: float) -> bool:
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        milliseconds = max(0.0, deadline - time.monotonic()) * 1000
        return not is_alive(identity) or bool(poller.poll(milliseconds))
    finally:
        os.close(descriptor)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on, for the second may have spaces and parentheses."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _session_of(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[3]) if fields else None


def _bears(pid: int, mark: bytes) -> bool:
    try:
        return mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
