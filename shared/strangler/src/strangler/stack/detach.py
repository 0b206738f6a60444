"""Runs the supervisor as a daemon, while the command that asked for it shows how it comes up."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

from strangler.adapters import logs
from strangler.domain.errors import StackError, StranglerError

Emit = Callable[[str], None]


def daemon(work: Callable[[Emit, Emit], None], log: Path, out: Emit) -> str:
    """Calls ``work(line, ready)`` in a daemon, and returns the text that ``work`` gives to ``ready``.

    Raises ``StackError`` if it ends before that. If this command is interrupted, the daemon is stopped, too.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _become_daemon(work, log, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as messages:
        return _follow(messages, log, out)


def _follow(messages: TextIO, log: Path, out: Emit) -> str:
    pid = int(messages.readline() or 0)
    try:
        for message in messages:
            kind, value = json.loads(message)
            if kind == "ready":
                return str(value)
            if kind == "error":
                raise StackError(**value)
            out(value)
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGTERM)
        for message in messages:
            kind, value = json.loads(message)
            if kind == "line":
                out(value)
        raise
    raise StackError("the supervisor ended without a word", remedy=f"see {log}")


def _become_daemon(work: Callable[[Emit, Emit], None], log: Path, writing: int) -> NoReturn:
    os.setsid()
    if os.fork():
        os._exit(0)
    listener = _Listener(writing)
    try:
        _redirect(log)
        work(listener.line, listener.ready)
    except StranglerError as error:
        listener.error(error)
    except OSError as error:
        listener.error(StackError(str(error), remedy=f"mend that, and run it again; where it came from is in {log}"))
        _print_traceback()
    except BaseException:  # noqa: BLE001 (a daemon's last words; what follows is its end)
        _print_traceback()
    _flush()
    os._exit(0)


def _print_traceback() -> None:
    # The log may be on a full disk; so it may in the two below.
    with suppress(OSError):
        print(logs.line("crashed", level="critical", exception=traceback.format_exc()), flush=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()


class _Listener:
    """Sends lines to the command that waits, until that has heard enough or was killed; after that to the log."""

    def __init__(self, writing: int) -> None:
        self._pipe = os.fdopen(writing, "w", buffering=1)
        self._pipe.write(f"{os.getpid()}\n")

    def line(self, text: str) -> None:
        self._tell("line", text)

    def ready(self, text: str) -> None:
        self._tell("ready", text)
        self._pipe.close()

    def error(self, error: StranglerError) -> None:
        told = {"message": error.message, "place": error.place, "remedy": error.remedy, "id": error.id}
        self._tell("error", told)

    def _tell(self, kind: str, value: object) -> None:
        try:
            self._pipe.write(json.dumps([kind, value]) + "\n")
        except (BrokenPipeError, ValueError):
            with suppress(OSError):
                print(logs.line("progress", logger="supervisor", kind=kind, said=value), flush=True)


def _redirect(log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
