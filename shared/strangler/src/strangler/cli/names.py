"""The arguments CAPABILITY and PROCESS: completed by the shell, and named where they are missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from strangler.adapters import toml
from strangler.domain.errors import StranglerError
from strangler.domain.project import Project


class _Name(click.ParamType[str]):
    """A name of ``strangler.toml``; the verb itself says whether there is one."""

    def known(self) -> Iterable[str]:
        """Those that there are, without a fault of the file."""
        try:
            return self.of(toml.load(addresses=False))
        except StranglerError:
            return []

    def of(self, project: Project) -> Iterable[str]:
        """Those of this project."""
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Leaves it as it is."""
        return str(value)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str | None:
        """Says which there are."""
        return f"Name one of: {known}." if (known := ", ".join(self.known())) else None

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that begin so."""
        return [CompletionItem(name) for name in self.known() if name.startswith(incomplete)]


class CapabilityName(_Name):
    """A capability."""

    name = "capability"

    def of(self, project: Project) -> Iterable[str]:
        """In the file's order."""
        return project.capabilities


class ProcessName(_Name):
    """A process that the local stack runs."""

    name = "process"

    def of(self, project: Project) -> Iterable[str]:
        """In the file's order."""
        return [name for name, process in project.processes.items() if process.directory]
