"""Starts programs, notices at once when one dies, and starts it again.

The supervisor sees a death by the process's pidfd, and a wish to stop by the signal's wake-up socket: it
sleeps in one ``select`` until there is something to do.

Note "a full disk": once the stack is up, nothing that the supervisor writes is worth its life. Its log loses a line,
and the state is written again every second until it is whole.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from strangler.adapters import logs
from strangler.domain.errors import StackError
from strangler.stack import identity, retirement, teardown
from strangler.stack.program import Program, failure
from strangler.stack.state import Running, State

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HEALTHY_AFTER_SECONDS = 10.0
LONGEST_DELAY_SECONDS = 5.0
READY_POLL_SECONDS = 0.02
NOTE_SECONDS = 1.0


class StoppedError(StackError):
    """Somebody stopped the stack while it was starting."""


@dataclass(slots=True, eq=False)
class Child:
    """A program and its present process; ``due`` is when it is started again. A ``retired`` one is not started
    again."""

    program: Program
    process: subprocess.Popen[bytes]
    started: float
    restarts: int = 0
    quick_deaths: int = 0
    due: float | None = None
    retired: bool = False


class Supervisor:
    """Until ``watch`` is called, a death is an error of the start; afterwards a program that died is started again."""

    def __init__(self, state: State, folder: Path, write: Callable[[State], None]) -> None:
        self._state = state
        self._folder = folder
        self._write = write
        self._children: dict[str, Child] = {}
        self._watching = False
        self._stop_asked = False
        self._retire_asked = False
        self._noted = True
        self._selector = selectors.DefaultSelector()
        self._log = os.open(folder / "log" / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._listen_for_signals()

    def start(self, program: Program) -> None:
        program.prepare()
        child = Child(program, self._spawn(program), time.monotonic())
        self._children[program.name] = child
        self._adopt(child)

    def await_ready(self, program: Program, seconds: float) -> None:
        """Raises ``StackError`` if the program needs longer, or if it or another program dies meanwhile."""
        deadline = time.monotonic() + seconds
        while not program.ready():
            if time.monotonic() > deadline:
                raise failure(program, f"is not ready after {seconds:.0f} s")
            self._turn(READY_POLL_SECONDS)

    def run(self, program: Program, seconds: float, echo: Callable[[str], None] | None = None) -> None:
        """Runs a program to its end; ``echo`` gets each line that it prints. Raises if the program fails."""
        program.prepare()
        deadline = time.monotonic() + seconds
        offset = program.log.stat().st_size if program.log.exists() else 0
        process = self._spawn(program)
        descriptor = os.pidfd_open(process.pid)
        self._selector.register(descriptor, selectors.EVENT_READ, process)
        try:
            while process.returncode is None:
                if time.monotonic() > deadline:
                    raise failure(program, f"has not ended after {seconds:.0f} s")
                self._turn(0.1)
                if echo:
                    offset = _echo(program.log, offset, echo)
        finally:
            self._selector.unregister(descriptor)
            os.close(descriptor)
            if process.returncode is None:
                identity.kill(identity.session(process.pid))
                process.wait()
        if process.returncode:
            raise failure(program, f"ended with {_ending(process.returncode)}")

    def watch(self) -> None:
        """Keeps everything running until a stop signal comes."""
        self._watching = True
        self._event("ready", processes=len(self._children))
        while not self._stop_asked:
            waits = [child.due - time.monotonic() for child in self._children.values() if child.due is not None]
            if not self._noted:
                waits.append(NOTE_SECONDS)
            self._turn(max(0.0, min(waits)) if waits else None)
            if not self._noted:
                self._note()

    def stop(self, report: Callable[[str], None]) -> None:
        """Stops everything, the youngest tier first."""
        self._event("stopping")
        teardown.stop(self._state.processes, self._folder, report)
        for child in self._children.values():
            child.process.wait()
        self._event("stopped")

    def _turn(self, timeout: float | None) -> None:
        """Waits until something happens, at most ``timeout`` seconds, and deals with it."""
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                self._bury(key.data, key.fd)
            elif isinstance(key.data, subprocess.Popen):
                key.data.wait()
            else:
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(4096)
        if self._stop_asked and not self._watching:
            raise StoppedError("stopped while it was starting")
        if self._retire_asked and self._watching:
            self._retire_asked = False
            self._retire(retirement.retired(self._folder))
        now = time.monotonic()
        for child in list(self._children.values()):
            if child.due is not None and child.due <= now:
                self._restart(child)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in program.unset},
            **program.environment,
            identity.MARK: str(self._folder),
        }
        try:
            with program.log.open("ab") as log:
                return subprocess.Popen(
                    program.command,
                    cwd=program.directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise StackError(
                f"cannot be started: {error}",
                place=program.name,
                remedy="check its command and directory in strangler.toml",
            ) from error

    def _adopt(self, child: Child) -> None:
        descriptor = os.pidfd_open(child.process.pid)
        self._selector.register(descriptor, selectors.EVENT_READ, child)
        found = identity.identify(child.process.pid)
        program = child.program
        self._state.processes[program.name] = Running(
            pid=child.process.pid,
            started=found.started if found else "",
            tier=program.tier,
            restarts=child.restarts,
            stop_signal=program.stop_signal,
            stop_seconds=program.stop_seconds,
        )
        self._note()

    def _note(self) -> None:
        """Writes the state; see the note "a full disk".

        Raises:
            OSError: it cannot be written, and the stack is not up yet.
        """
        try:
            self._write(self._state)
        except OSError as error:
            if not self._watching:
                raise
            if self._noted:
                self._event("state_not_written", reason=str(error))
            self._noted = False
        else:
            self._noted = True

    def _bury(self, child: Child, descriptor: int) -> None:
        # While the leader of a session is not reaped, its number belongs to no other session.
        family = identity.session(child.process.pid)
        identity.kill(family)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        code = child.process.wait()
        name = child.program.name
        if child.retired:
            self._forget(child)
            return
        if not self._watching:
            raise failure(child.program, f"ended with {_ending(code)} while the stack was starting")
        lived = time.monotonic() - child.started
        child.quick_deaths = child.quick_deaths + 1 if lived < HEALTHY_AFTER_SECONDS else 0
        self._plan_restart(child)
        self._event("died", name=name, ending=_ending(code), lived_seconds=round(lived, 1))

    def _retire(self, names: Collection[str]) -> None:
        for child in [self._children[name] for name in names if name in self._children]:
            child.retired = True
            if child.due is not None:
                self._forget(child)
            else:
                child.process.send_signal(child.program.stop_signal)

    def _forget(self, child: Child) -> None:
        del self._children[child.program.name]
        self._state.processes.pop(child.program.name, None)
        self._note()
        self._event("retired", name=child.program.name)

    def _plan_restart(self, child: Child) -> None:
        delay = min(LONGEST_DELAY_SECONDS, 0.05 * 2**child.quick_deaths) if child.quick_deaths > 1 else 0.0
        child.due = time.monotonic() + delay

    def _restart(self, child: Child) -> None:
        child.due = None
        child.restarts += 1
        try:
            child.program.prepare()
            child.process = self._spawn(child.program)
        except (OSError, StackError) as error:
            child.quick_deaths += 1
            self._plan_restart(child)
            self._event("not_restarted", name=child.program.name, reason=str(error))
            return
        child.started = time.monotonic()
        self._adopt(child)
        self._event("restarted", name=child.program.name, pid=child.process.pid, restarts=child.restarts)

    def _listen_for_signals(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._wakeup = theirs
        signal.set_wakeup_fd(theirs.fileno())
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask_to_stop)
        signal.signal(retirement.SIGNAL, self._ask_to_retire)
        self._selector.register(ours, selectors.EVENT_READ, None)

    def _ask_to_retire(self, _number: int, _frame: FrameType | None) -> None:
        self._retire_asked = True

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_asked = True

    def _event(self, event: str, **fields: Any) -> None:
        with suppress(OSError):
            os.write(self._log, f"{logs.line(event, logger='supervisor', **fields)}\n".encode())


def _echo(log: Path, offset: int, echo: Callable[[str], None]) -> int:
    """Passes on the whole lines after ``offset``; returns where the next line starts."""
    with log.open("rb") as stream:
        stream.seek(offset)
        fresh = stream.read()
    whole = fresh.rpartition(b"\n")[0]
    for line in whole.decode(errors="replace").splitlines():
        echo(line)
    return offset + len(whole) + 1 if whole else offset


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
