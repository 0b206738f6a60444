"""``strangler start``: copies a capability and streams it both ways."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.start import start
from strangler.cli.console import Meter, as_json, told
from strangler.cli.names import CapabilityName
from strangler.domain.words import counted

EPILOG = """\b
Examples:
  strangler start CAPABILITY
  strangler start CAPABILITY --json

Can be killed and run again: it begins anew, with an emptied copy. Nothing changes for clients.
"""


@click.command(epilog=EPILOG)
@click.argument("capability", type=CapabilityName())
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, capability: str, json_wanted: bool) -> None:
    """Copies CAPABILITY's tables to the service's database and streams them both ways."""
    say = told(json_wanted)
    with configuration.parts(capability) as parts:
        meter = Meter(f"copying {capability}")
        started = start(parts, progress=meter, boundary=configuration.boundary)
        meter.end()
    for warning in started.warnings:
        say(f"note: {warning}")
    say(
        f"{capability}: {counted(started.rows, 'row')} copied at {started.copy_rows_per_s:,.0f}/s, both streams run "
        f"({started.seconds:.1f} s). Next: strangler verify {capability}"
    )
    if json_wanted:
        click.echo(as_json(started, verb="start"))
