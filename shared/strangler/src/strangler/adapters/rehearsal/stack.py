"""The local stack of a rehearsal: one that is up is used as it is, else one is brought up.

Note "own data": a rehearsal leaves a move in its databases, and the next one could not start it again.
So data that a rehearsal itself had made are forgotten when it has proved the promise; those of one that
has not are kept for inspection, until the next rehearsal.
"""

from __future__ import annotations

import os
import subprocess
import sys

from strangler.adapters.stack import teardown
from strangler.adapters.stack.state import endpoints
from strangler.domain.errors import StackError
from strangler.domain.project import Endpoints, Project


class RehearsalStack:
    """``with RehearsalStack(project, data=…, keep=…) as stack``.

    Set ``proved`` once the rehearsal has; see the note "own data". With ``keep`` the stack stays up.
    """

    endpoints: Endpoints

    def __init__(self, project: Project, *, data: str, keep: bool) -> None:
        self.proved = False
        self._project = project
        self._data = data
        self._keep = keep
        self._ours = False
        self._mark = project.state / "demo" / "data-of-a-rehearsal"

    def __enter__(self) -> RehearsalStack:
        """Raises StackError when the stack does not come up; why is on standard error by then."""
        present = self._present()
        if present is not None:
            self.endpoints = present
            return self
        self._ours = True
        try:
            self._bring_up()
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._ours:
            return
        if self._keep:
            self._mark.unlink(missing_ok=True)
        else:
            self._take_down()

    def _bring_up(self) -> None:
        if self._mark.exists():
            self._strangler("down", "--wipe", "--yes")
        if not any((self._project.state / name).exists() for name in teardown.DATA):
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
        if self._strangler("up", "--detach", "--data", self._data) != 0:
            raise StackError("the stack did not come up", remedy="see its messages above")
        self.endpoints = endpoints(self._project)

    def _take_down(self) -> None:
        forget = self.proved and self._mark.exists()
        if self._strangler("down", *(("--wipe", "--yes") if forget else ())) == 0 and forget:
            self._mark.unlink()

    def _present(self) -> Endpoints | None:
        try:
            return endpoints(self._project)
        except StackError:
            return None

    def _strangler(self, *words: str) -> int:
        """Runs a verb whose messages all go to standard error, which leaves standard output to the report."""
        return subprocess.run(
            [sys.executable, "-m", "strangler.cli.main", *words],
            cwd=self._project.path.parent,
            env={**os.environ, "STRANGLER_CONFIG": str(self._project.path)},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            check=False,
        ).returncode
