"""``strangler env``: where everything is."""

from __future__ import annotations

import shlex

import click

from strangler.adapters import toml
from strangler.cli.console import as_json
from strangler.cli.names import ProcessName
from strangler.stack import environments, state

EPILOG = """\b
Examples:
  strangler env
  strangler env --json | python -c 'import json,sys; print(json.load(sys.stdin)["gateway"])'
  eval "$(strangler env --for PROCESS)"     # this shell has the process's environment from now on

With --for the lines hold the process's secrets, as they are: keep them out of logs and tickets.
"""


@click.command(epilog=EPILOG)
@click.option("--for", "process", type=ProcessName(), metavar="PROCESS", help="Print that process's variables instead.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, process: str | None, json_wanted: bool) -> None:
    """Prints the addresses of gateway, broker, databases and processes, with their passwords."""
    project = toml.load()
    if process is not None:
        _print_variables(environments.environment_of(project, environments.process_of(project, process)), json_wanted)
        return
    report = state.environment_report(project)
    if json_wanted:
        click.echo(as_json(report))
        return
    for name, value in report.items():
        if not isinstance(value, dict):
            click.echo(f"{name}: {value}")
            continue
        click.echo(f"{name}:")
        for key, each in value.items():
            click.echo(f"  {key}: {each}")


def _print_variables(variables: dict[str, str], json_wanted: bool) -> None:
    if json_wanted:
        click.echo(as_json({"variables": variables}))
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
