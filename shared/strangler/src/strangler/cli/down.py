"""``strangler down``: stops the local stack, whether or not its supervisor still runs."""

from __future__ import annotations

import sys

import click

from strangler.adapters import toml
from strangler.stack import startup, teardown
from strangler.stack.progress import Progress

EPILOG = """\b
Examples:
  strangler down
  strangler down --wipe --yes     # and forget the data
"""


@click.command(epilog=EPILOG)
@click.option("--wipe", is_flag=True, help="Remove the databases, the broker's data, secrets and logs too.")
@click.option("--yes", is_flag=True, help="Do not ask before removing.")
def command(*, wipe: bool, yes: bool) -> None:
    """Stops every process of the local stack; the data stay."""
    project = toml.load()
    if wipe and not yes:
        _confirm(str(project.state))
    progress = Progress(click.echo)
    startup.stop_supervisor(project, progress.line)
    with startup.only_one(project):
        startup.clear(project, progress.line)
        if wipe:
            teardown.wipe(project.state)
    progress.line("down, and wiped" if wipe else "down")


def _confirm(folder: str) -> None:
    question = f"Remove the data in {folder}?"
    if not sys.stdin.isatty():
        raise click.UsageError("without a terminal --wipe needs --yes")
    click.confirm(question, abort=True)
