"""``strangler canary``: a share of the reads goes to the copy."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.canary import Shared, plan, share
from strangler.application.gates import Gate, shut_gates
from strangler.cli.console import as_json, told
from strangler.cli.display import mark
from strangler.cli.names import CapabilityName
from strangler.domain.findings import commands
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler canary CAPABILITY 10            # one client in ten
  strangler canary CAPABILITY 10 --dry-run  # the gates; nothing changes
  strangler canary CAPABILITY 0             # the owner answers all again

Writes go to the owner in any case, and no client reads an older answer than before. A client stays at one side.
`switch`, `reverse` and `cancel` end it. Exit code 2 if a gate is shut: nothing was changed.
"""


@click.command(epilog=EPILOG)
@click.argument("capability", type=CapabilityName())
@click.argument("weight", type=click.IntRange(0, 100))
@click.option("--dry-run", is_flag=True, help="Show the gates; change nothing.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, *, capability: str, weight: int, dry_run: bool, json_wanted: bool) -> None:
    """Sends WEIGHT percent of CAPABILITY's reads to the service, while the monolith still owns it."""
    say = told(json_wanted)
    present = configuration.project()
    with configuration.parts(capability) as parts:
        ready = configuration.readiness(present, state.endpoints(present))
        before, gates = plan(parts, weight, ready)
        for gate in gates:
            say(f"  {mark(gate.open)} {gate.name}: {gate.found}")
        shut = shut_gates(gates, place=capability)
        if dry_run:
            say(f"would send {weight} % of the reads to the copy, instead of {before.weight} %; nothing was changed")
            if json_wanted:
                _print_plan(capability, weight, before.weight, gates)
            if shut:
                context.exit(2)
            return
        say(f"sending {weight} % of the reads to the copy, instead of {before.weight} %")
        done = share(parts, weight, ready=ready)
    _show(done, json_wanted=json_wanted)


def _print_plan(capability: str, weight: int, before: int, gates: list[Gate]) -> None:
    shut = shut_gates(gates, place=capability)
    shown = [{"gate": gate.name, "open": gate.open, "found": gate.found} for gate in gates]
    result = {"capability": capability, "verb": "canary", "dry_run": True, "weight": weight, "before": before}
    click.echo(
        as_json(
            {**result, "gates": shown},
            ready=not shut,
            findings=shut,
            next=commands(shut) if shut else [f"strangler canary {capability} {weight}"],
        )
    )


def _show(done: Shared, *, json_wanted: bool) -> None:
    say = told(json_wanted)
    live = "not every gateway agent has said so yet" if done.live_ms is None else f"live after {done.live_ms:.0f} ms"
    share = f"{done.weight} % of the reads go to the copy" if done.weight else "the monolith answers all reads"
    say(f"{done.capability}: {share}; {live}")
    if json_wanted:
        follows = [f"strangler status {done.capability}"]
        if done.weight:
            follows += [f"strangler canary {done.capability} 0", f"strangler switch {done.capability}"]
        click.echo(as_json(done, verb="canary", next=follows))
