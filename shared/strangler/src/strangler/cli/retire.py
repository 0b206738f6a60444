"""``strangler retire``: stops the monolith for good."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.adapters.stack import retirement, state
from strangler.application.retirement import processes, retirable, retire
from strangler.cli.console import as_json, confirm, told

STOP_SECONDS = 40.0

EPILOG = """\b
Examples:
  strangler retire
  strangler retire --yes --json

Refused until every capability is completed. The monolith's database stays: the ledger lives there.
"""


@click.command(epilog=EPILOG)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, yes: bool, json_wanted: bool) -> None:
    """Stops the monolith's processes and ends the streams to its database."""
    say = told(json_wanted)
    project = configuration.project()
    endpoints = state.endpoints(project)
    ours = [name for name in processes(project) if project.processes[name].command]
    elsewhere = [name for name in processes(project) if name not in ours]
    all_parts = [configuration.parts_of(project, endpoints, name) for name in project.capabilities]
    try:
        retirable(all_parts)
        confirm(f"stop {', '.join(ours) or 'nothing here'} and end the streams to the monolith's database", yes=yes)
        retire(all_parts, lambda: retirement.retire(project, ours, within=STOP_SECONDS))
    finally:
        for parts in all_parts:
            parts.close()
    say(f"retired: {', '.join(ours)}")
    if elsewhere:
        say(f"  stop these where they run: {', '.join(elsewhere)}")
    if json_wanted:
        click.echo(as_json({"verb": "retire", "stopped": ours, "elsewhere": elsewhere}))
