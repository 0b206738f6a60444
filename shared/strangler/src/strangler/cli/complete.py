"""``strangler complete``: ends the way back."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.ending import completable, complete
from strangler.cli.console import as_json, confirm, told
from strangler.cli.durations import Duration
from strangler.cli.names import CapabilityName

EPILOG = """\b
Examples:
  strangler complete CAPABILITY
  strangler complete CAPABILITY --drop   # once nothing in the monolith reads it any more
  strangler complete CAPABILITY --drop --unused-for 24h
"""


@click.command(epilog=EPILOG)
@click.argument("capability", type=CapabilityName())
@click.option("--drop", is_flag=True, help="Also end the stream to the monolith and drop its old tables.")
@click.option(
    "--unused-for",
    type=Duration(),
    default="10m",
    show_default=True,
    help="With --drop: for how long no request may have come to its routes in the monolith.",
)
@click.option(
    "--unread-for",
    type=Duration(),
    default="10m",
    show_default=True,
    help="With --drop: for how long nothing may have read its tables in the monolith.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, capability: str, drop: bool, unused_for: float, unread_for: float, yes: bool, json_wanted: bool) -> None:
    """Ends CAPABILITY's move: it can no longer be reversed."""
    say = told(json_wanted)
    with configuration.parts(capability) as parts:
        _, seams = completable(parts, drop=drop, unused_for=unused_for, unread_for=unread_for)
        dropping = f" and drop {', '.join(parts.capability.tables)} from the monolith" if drop else ""
        confirm(f"end the way back of {capability}{dropping}", yes=yes)
        complete(parts, drop=drop, unused_for=unused_for, unread_for=unread_for)
    say(f"{capability}: completed{' and dropped' if drop else ''}")
    if seams:
        say(f"  the stream to the monolith stays, for it is still read there: {', '.join(seams)}")
    if json_wanted:
        follows = [] if drop or seams else [f"strangler complete {capability} --drop"]
        done = {"capability": capability, "verb": "complete", "dropped": drop, "seams": seams}
        click.echo(as_json(done, next=follows))
