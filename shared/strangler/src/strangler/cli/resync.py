"""``strangler resync``: makes lost streams anew."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.resync import resync
from strangler.cli.console import Meter, as_json, told
from strangler.cli.names import CapabilityName
from strangler.domain.words import counted

EPILOG = """\b
Example:
  strangler resync CAPABILITY

Can be killed and run again. The owner goes on as before; the copy is verified afterwards.
"""


@click.command(epilog=EPILOG)
@click.argument("capability", type=CapabilityName())
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, capability: str, json_wanted: bool) -> None:
    """Makes streams of CAPABILITY anew whose slot, publication or subscription is gone."""
    say = told(json_wanted)
    with configuration.parts(capability) as parts:
        meter = Meter(f"comparing {capability}")
        done = resync(parts, progress=meter)
        meter.end()
    changed = f"{counted(done.rows, 'row')} of the copy {'was' if done.rows == 1 else 'were'} changed"
    say(
        f"{capability}: the {' and the '.join(done.streams)} stream runs again, {changed} ({done.seconds:.1f} s). "
        f"Next: strangler verify {capability}"
    )
    if json_wanted:
        click.echo(as_json(done, verb="resync", next=[f"strangler verify {capability}"]))
