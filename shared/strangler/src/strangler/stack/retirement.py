"""Processes that a stack no longer runs: ``retired.json`` in the state folder, which outlives ``down`` and ``up``."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from strangler.domain.errors import StackError
from strangler.domain.project import Project
from strangler.stack import identity, state
from strangler.stack.state import Running

SIGNAL = signal.SIGUSR1  # tells the supervisor to read the file again
POLL_SECONDS = 0.05
KILLED_SECONDS = 10.0


def retired(folder: Path) -> list[str]:
    """The processes that must not run."""
    try:
        names: list[str] = json.loads((folder / "retired.json").read_text())
    except FileNotFoundError:
        return []
    return names


def run_here(project: Project, names: Sequence[str]) -> list[str]:
    """Those of them that the local stack runs. If the monolith is elsewhere, and there is no stack, it runs none, also
    no workers, which have no address by which this would show."""
    if project.processes[project.monolith].address and state.read(project) is None:
        return []
    return [name for name in names if project.processes[name].command]


def retire(project: Project, names: Sequence[str], *, within: float) -> None:
    """Stops the processes for good, first politely and after ``within`` seconds by force; returns when they are gone.

    Raises:
        StackError: some are still there; the next ``up`` does not start them all the same.
    """
    if not names:
        return
    everybody = sorted({*retired(project.state), *names})
    state.write_private(project.state / "retired.json", json.dumps(everybody))
    present = state.read(project)
    if present is None or not present.has_supervisor():
        return
    identity.send(present.supervisor, SIGNAL)
    if left := _await_end(project, names, within):
        identity.kill(member for each in left.values() for member in identity.session(each.pid))
        left = _await_end(project, names, KILLED_SECONDS)
    if left:
        raise StackError(f"still running: {', '.join(sorted(left))}", remedy="run `strangler down`")


def _await_end(project: Project, names: Collection[str], within: float) -> dict[str, Running]:
    """Returns those whose end the supervisor has not seen."""
    deadline = time.monotonic() + within
    while True:
        present = state.read(project)
        left = {name: each for name, each in present.processes.items() if name in names} if present else {}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL_SECONDS)
