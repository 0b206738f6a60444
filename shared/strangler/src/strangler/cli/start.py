"""``strangler start``: copies a capability and streams it both ways."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.start import start
from strangler.cli.console import Meter, as_json, show_findings, told
from strangler.cli.durations import Duration
from strangler.cli.names import CapabilityName
from strangler.domain.words import counted
from strangler.ports.replication import Patience

EPILOG = """\b
Examples:
  strangler start CAPABILITY
  strangler start CAPABILITY --timeout 10m --json

Can be killed and run again: it begins anew, with an emptied copy. Nothing changes for clients.
"""


@click.command(epilog=EPILOG)
@click.argument("capability", type=CapabilityName())
@click.option(
    "--timeout",
    type=Duration(),
    default="60s",
    show_default=True,
    help="Give up waiting for open transactions of others after this.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(*, capability: str, timeout: float, json_wanted: bool) -> None:
    """Copies CAPABILITY's tables to the service's database and streams them both ways."""
    say = told(json_wanted)
    with configuration.parts(capability) as parts:
        meter = Meter(f"copying {capability}")
        patience = Patience(timeout, lambda text: click.echo(f"{capability}: {text}", err=True))
        started = start(parts, progress=meter, boundary=configuration.boundary, patience=patience)
        meter.end()
    show_findings(started.findings, say)
    say(
        f"{capability}: {counted(started.rows, 'row')} copied at {started.copy_rows_per_s:,.0f}/s, both streams run "
        f"({started.seconds:.1f} s). Next: strangler verify {capability}"
    )
    if json_wanted:
        click.echo(as_json(started, verb="start", findings=started.findings, next=[f"strangler verify {capability}"]))
