"""``strangler verify``: proves the copy equal."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.verify import verify
from strangler.cli.console import Meter, as_json, told
from strangler.cli.names import CapabilityName
from strangler.domain.findings import Finding, Severity
from strangler.domain.words import counted

SHOWN = 50

EPILOG = """\b
Examples:
  strangler verify CAPABILITY
  strangler verify CAPABILITY --repair

Exit code 1 when something differs still.
"""


@click.command(epilog=EPILOG)
@click.argument("capability", type=CapabilityName())
@click.option("--repair", is_flag=True, help="Make differing rows of the copy what the owner's are.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, *, capability: str, repair: bool, json_wanted: bool) -> None:
    """Compares every row of CAPABILITY on both sides while writes go on."""
    say = told(json_wanted)
    with configuration.parts(capability) as parts:
        meter = Meter(f"verifying {capability}")
        found = verify(parts, repair=repair, progress=meter)
        meter.end()
    for difference in found.differences[:SHOWN]:
        say(f"  {difference}")
    named = found.differing or found.repaired
    if named > SHOWN:
        say(f"  and {named - SHOWN:,} more")
    mended = f", {found.repaired:,} repaired" if repair else ""
    say(
        f"{capability}: {counted(found.verified_rows, 'row')} compared at {found.verify_rows_per_s:,.0f}/s, "
        f"{found.differing:,} {'differs' if found.differing == 1 else 'differ'}{mended} ({found.seconds:.1f} s)"
    )
    if json_wanted:
        repair_it, go_on = f"strangler verify {capability} --repair", f"strangler switch {capability} --dry-run"
        differing = found.differing > 0
        findings = [
            Finding("rows-differ", Severity.ERROR, capability, f"{found.differing:,} rows differ", f"run `{repair_it}`")
        ]
        click.echo(
            as_json(
                found,
                verb="verify",
                ready=not differing,
                findings=findings if differing else [],
                next=[repair_it if differing else go_on],
            )
        )
    if found.differing:
        context.exit(1)
