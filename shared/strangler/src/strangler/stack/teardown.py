"""Stops the processes of a stack, whether or not its supervisor still lives."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from strangler.domain.errors import StackError
from strangler.stack import identity
from strangler.stack.state import Running

DATA = (
    "postgres",
    "broker",
    "gateway",
    "run",
    "secrets",
    "log",
    "data.json",
    "ports.json",
    "retired.json",
    "prometheus",
)


def stop(processes: Mapping[str, Running], folder: Path, report: Callable[[str], None]) -> None:
    """Stops tier after tier, first politely and then by force, and at last everything else with the stack's mark.

    Raises ``StackError`` if something survives even that.
    """
    families = [
        member
        for each in processes.values()
        if identity.is_alive(each.identity)
        for member in identity.session(each.pid)
    ]
    for tier in sorted({each.tier for each in processes.values()}, reverse=True):
        _stop_tier({name: each for name, each in processes.items() if each.tier == tier}, report)
    left = identity.kill({*families, *identity.remnants(folder)})
    if left:
        raise StackError(
            f"still alive after SIGKILL: {', '.join(str(each.pid) for each in left)}",
            remedy="look at what they wait for in the kernel (`ps -o pid,stat,wchan`)",
        )


def wipe(folder: Path) -> None:
    """Removes what the stack has stored; everything else in the state folder stays."""
    for name in DATA:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _stop_tier(tier: Mapping[str, Running], report: Callable[[str], None]) -> None:
    alive = {name: each for name, each in tier.items() if identity.is_alive(each.identity)}
    for each in alive.values():
        identity.send(each.identity, each.stop_signal)
    for name, each in alive.items():
        if identity.await_end([each.identity], each.stop_seconds):
            report(f"{name} did not stop within {each.stop_seconds:.0f} s and is killed")
            identity.kill([each.identity])
        else:
            report(f"{name} stopped")
