"""Runs the tool's verbs as a person does: as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from strangler.rehearsal.ports import Ran, Verbs


class CommandLine(Verbs):
    """Verbs on the project of the configuration file ``path`` with its stack in ``state``; ``listen`` gets
    their standard error when they have ended."""

    def __init__(self, path: Path, state: Path, *, listen: Callable[[str], None]) -> None:
        self._path = path
        self._state = state
        self._listen = listen

    def run(self, *words: str, within: float) -> Ran:
        """With the interpreter that runs this process."""
        command = [sys.executable, "-m", "strangler.cli.main", *words, "--json"]
        began = time.monotonic_ns()
        try:
            done = subprocess.run(
                command,
                cwd=self._path.parent,
                env={**os.environ, "STRANGLER_CONFIG": str(self._path), "STRANGLER_STATE": str(self._state)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=within,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ran(124, {}, f"did not end within {within:.0f} s", began, time.monotonic_ns())
        ended = time.monotonic_ns()
        self._listen(f"$ strangler {' '.join(words)} (exit code {done.returncode})\n{done.stdout}{done.stderr}")
        return Ran(done.returncode, _answer(done.stdout), done.stderr, began, ended)


def _answer(text: str) -> Mapping[str, Any]:
    """The last JSON object on standard output; empty if a verb failed before it could print one."""
    for line in (text, *reversed(text.splitlines())):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            return answer
    return {}
