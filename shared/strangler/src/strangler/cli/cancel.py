"""``strangler cancel``: gives a move up."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.ending import cancel, cancellable
from strangler.cli.console import as_json, confirm, told
from strangler.cli.names import CapabilityName

EPILOG = """\b
Example:
  strangler cancel CAPABILITY

Leaves nothing behind; `strangler doctor` proves it.
"""


@click.command(epilog=EPILOG)
@click.argument("capability", type=CapabilityName())
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, capability: str, yes: bool, json_wanted: bool) -> None:
    """Removes all that CAPABILITY's move has made, the copied rows too; the monolith keeps what it has."""
    with configuration.parts(capability) as parts:
        cancellable(parts)
        confirm(f"remove the streams and the copy of {capability}", yes=yes)
        cancel(parts)
    told(json_wanted)(f"{capability}: cancelled")
    if json_wanted:
        click.echo(as_json({"capability": capability, "verb": "cancel"}))
