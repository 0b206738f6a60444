"""``strangler env``: where everything is."""

from __future__ import annotations

import json

import click

from strangler.adapters import toml
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler env
  strangler env --json | python -c 'import json,sys; print(json.load(sys.stdin)["gateway"])'
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> None:
    """Prints the addresses of gateway, broker, databases and processes, with their passwords."""
    report = state.environment_report(toml.load())
    if as_json:
        click.echo(json.dumps(report))
        return
    for name, value in report.items():
        if not isinstance(value, dict):
            click.echo(f"{name}: {value}")
            continue
        click.echo(f"{name}:")
        for key, each in value.items():
            click.echo(f"  {key}: {each}")
