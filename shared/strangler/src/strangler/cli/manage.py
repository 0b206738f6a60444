"""``strangler manage``: a process's ``manage.py``, as the process itself would run it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from strangler.adapters import toml
from strangler.cli.names import ProcessName
from strangler.domain.errors import StackError
from strangler.stack import environments, processes

EPILOG = """\b
Examples:
  strangler manage PROCESS events list
  strangler manage PROCESS sagas list --stuck
  strangler manage PROCESS shell

What follows PROCESS goes to its manage.py unchanged, and its exit code is returned. For processes of the local stack;
elsewhere run manage.py where the process runs.
"""


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("process", type=ProcessName())
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(*, process: str, arguments: Sequence[str]) -> None:
    """Runs PROCESS's manage.py in its folder, with its environment: database, broker and secrets."""
    project = toml.load()
    chosen = environments.process_of(project, process)
    own = {name: value for name, value in os.environ.items() if name not in processes.unset(project, chosen)}
    environment = {**own, **environments.environment_of(project, chosen)}
    assert chosen.directory is not None
    if not (chosen.directory / "manage.py").is_file():
        raise StackError(
            f"there is no manage.py in {chosen.directory}",
            place=f"processes.{process}.directory",
            remedy=f'for another program: eval "$(strangler env --for {process})" and run it there',
        )
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.chdir(chosen.directory)
    # In place of this process, so that signals, terminal and exit code are those of manage.py.
    python = str(chosen.python or "python")
    os.execvpe(python, [python, "manage.py", *arguments], environment)  # noqa: S606
