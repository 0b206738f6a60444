"""The local stack of a rehearsal: a stack that is up is used as it is; otherwise one is brought up.

Note "own data": a rehearsal leaves a move in its databases, and the next rehearsal could not start it again. So a
stack that a rehearsal brings up has a state folder of its own, which is empty at first: a developer's own data is never
touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from strangler.domain.errors import StackError
from strangler.domain.project import Endpoints, Project
from strangler.stack.state import endpoints

FOLDER = "rehearsal"


class RehearsalStack:
    """``with RehearsalStack(project, data=…, keep=…) as stack``.

    ``project`` is the project of the stack: its state folder may be the rehearsal's own. Set ``proved`` once the
    rehearsal has proved its promise: then its data are removed at the end, and otherwise they stay until the next
    rehearsal. With ``keep`` the stack stays up.
    """

    endpoints: Endpoints

    def __init__(self, project: Project, *, data: str, keep: bool) -> None:
        self.proved = False
        self.project = project
        self._data = data
        self._keep = keep
        self._ours = False

    def __enter__(self) -> RehearsalStack:
        """Raises StackError if the stack does not come up; the reason is already on standard error then."""
        present = self._present()
        if present is not None:
            self.endpoints = present
            return self
        self._ours = True
        self.project = replace(self.project, state=self.project.state / FOLDER)
        try:
            self._bring_up()
        except BaseException:
            self._strangler("down")
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._ours and not self._keep:
            self._strangler("down", *(("--wipe", "--yes") if self.proved else ()))

    def _bring_up(self) -> None:
        if self.project.state.exists():
            self._strangler("down", "--wipe", "--yes")
        if self._strangler("up", "--detach", "--data", self._data) != 0:
            raise StackError("the stack did not come up", remedy="see its messages above")
        self.endpoints = endpoints(self.project)

    def _present(self) -> Endpoints | None:
        try:
            return endpoints(self.project)
        except StackError:
            return None

    def _strangler(self, *words: str) -> int:
        """Runs a verb. All its messages go to standard error, for standard output belongs to the report."""
        project = {"STRANGLER_CONFIG": str(self.project.path), "STRANGLER_STATE": str(self.project.state)}
        return subprocess.run(
            [sys.executable, "-m", "strangler.cli.main", *words],
            cwd=self.project.path.parent,
            env={**os.environ, **project},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            check=False,
        ).returncode
