"""``strangler up``: the local stack."""

from __future__ import annotations

import click

from strangler.adapters import toml
from strangler.domain.errors import StackError
from strangler.domain.project import Project
from strangler.stack import observation, startup, state
from strangler.stack.detach import daemon
from strangler.stack.progress import Progress
from strangler.stack.state import State

EPILOG = """\b
Examples:
  strangler up                             # until Ctrl-C
  strangler up --detach --data sample
  strangler up --detach --observe          # with graphs of everything; `strangler status` says where
  strangler env --json                     # where everything is

Logs are in the state folder under log/. What the databases hold stays until `strangler down --wipe`.
"""


@click.command(epilog=EPILOG)
@click.option("--detach", is_flag=True, help="Return when everything is ready; `strangler down` stops it.")
@click.option(
    "--data",
    type=click.Choice(startup.DATA),
    help="What empty databases are filled with.  [default: journey]",
)
@click.option("--observe", is_flag=True, help="Also start the Prometheus of this machine, which watches everything.")
def command(*, detach: bool, data: str | None, observe: bool) -> None:
    """Starts databases, broker, processes and gateway on this machine.

    A process that dies is started again. Nothing needs to be installed, and nothing outside the state
    folder is touched.
    """
    project = toml.load()
    prometheus = observation.require(project) if observe else None
    if _is_up(project, observe=observe):
        startup.require_data(project, data)
        return
    state.keep_private(project)
    if not detach:
        startup.run(project, data, Progress(click.echo), _announce, prometheus=prometheus)
        return
    progress = Progress(click.echo)

    def work(line: startup.Emit, ready: startup.Emit) -> None:
        told = Progress(line)
        startup.run(project, data, told, lambda present: ready(present.gateway), prometheus=prometheus)

    gateway = daemon(work, project.state / "log" / "supervisor.log", click.echo)
    progress.line(f"up and detached: {gateway or project.gateway.address}")


def _is_up(project: Project, *, observe: bool) -> bool:
    present = state.read(project)
    if present is None or present.phase != state.READY or not present.has_supervisor():
        return False
    if observe and not present.prometheus:
        raise StackError(
            "the stack is up, and without Prometheus",
            place=str(project.state),
            remedy="run `strangler down`, then `strangler up --observe`: the data stay",
        )
    click.echo(f"the stack is already up: {present.gateway or project.gateway.address}")
    return True


def _announce(present: State) -> None:
    click.echo(f"up: {present.gateway}  (Ctrl-C stops everything)")
