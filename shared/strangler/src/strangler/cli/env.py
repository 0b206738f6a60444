"""``strangler env``: where everything is."""

from __future__ import annotations

import click

from strangler.adapters import toml
from strangler.cli.console import as_json
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler env
  strangler env --json | python -c 'import json,sys; print(json.load(sys.stdin)["gateway"])'
"""


@click.command(epilog=EPILOG)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, json_wanted: bool) -> None:
    """Prints the addresses of gateway, broker, databases and processes, with their passwords."""
    report = state.environment_report(toml.load())
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
