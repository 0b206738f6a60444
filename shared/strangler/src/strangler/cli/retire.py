"""``strangler retire``: stops the monolith for good."""

from __future__ import annotations

from collections.abc import Sequence

import click

from strangler import configuration
from strangler.application.retirement import Elsewhere, processes, retirable, retire
from strangler.cli.console import as_json, confirm, told
from strangler.domain.project import Endpoints, Project
from strangler.stack import retirement, state
from strangler.stack.processes import answers

STOP_SECONDS = 40.0

EPILOG = """\b
Examples:
  strangler retire
  strangler retire --yes --json

Refused until every capability is completed. Where the monolith runs elsewhere, in containers say, it has to be stopped
there first; refused while it answers. Its database stays: the ledger lives there.
"""


@click.command(epilog=EPILOG)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, yes: bool, json_wanted: bool) -> None:
    """Stops the monolith's processes and ends the streams to its database."""
    say = told(json_wanted)
    project = configuration.project()
    endpoints = state.endpoints(project)
    ours = retirement.run_here(project, processes(project))
    elsewhere = _elsewhere(project, endpoints, [name for name in processes(project) if name not in ours])
    all_parts = [configuration.parts_of(project, endpoints, name) for name in project.capabilities]
    try:
        retirable(all_parts, elsewhere)
        stopping = f"stop {', '.join(ours)} and " if ours else ""
        confirm(f"{stopping}end the streams to the monolith's database", yes=yes)
        retire(all_parts, lambda: retirement.retire(project, ours, within=STOP_SECONDS), elsewhere)
    finally:
        for parts in all_parts:
            parts.close()
    say(f"retired: {', '.join([*ours, *elsewhere.names])}")
    if elsewhere.names:
        say(f"  see that none of these is started again where it ran: {', '.join(elsewhere.names)}")
    if json_wanted:
        click.echo(as_json({"verb": "retire", "stopped": ours, "elsewhere": list(elsewhere.names)}))


def _elsewhere(project: Project, endpoints: Endpoints, names: Sequence[str]) -> Elsewhere:
    """The processes that have an address can be asked; the others stop with them."""
    urls = [endpoints.addresses[name] + project.processes[name].health for name in names if name in endpoints.addresses]
    return Elsewhere(names, lambda: next((url for url in urls if answers(url)), None))
