"""``switch`` and ``reverse`` are one command in two directions."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.application.gates import Gate, shut_gates
from strangler.application.sides import Parts
from strangler.application.switch import STEPS, TOWARDS, Switched, plan, switch
from strangler.cli.console import as_json, confirm, told
from strangler.cli.display import mark
from strangler.cli.durations import Duration
from strangler.cli.names import CapabilityName
from strangler.domain.findings import commands
from strangler.domain.project import SERVICE
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler {verb} CAPABILITY --dry-run     # the gates and the steps; nothing changes
  strangler {verb} CAPABILITY --timeout 30s
  strangler {verb} CAPABILITY --yes --json  # without a terminal

Exit code 2 if a gate is shut, also of a dry run: nothing was changed.
"""


def make(verb: str, text: str) -> click.Command:
    """The click command of one direction."""

    @click.command(epilog=EPILOG.format(verb=verb), help=text)
    @click.argument("capability", type=CapabilityName())
    @click.option("--dry-run", is_flag=True, help="Show gates and steps; change nothing.")
    @click.option(
        "--timeout",
        type=Duration(),
        default="30s",
        show_default=True,
        help="Give up getting the tables, or waiting for events, after this.",
    )
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
    @click.pass_context
    def command(
        context: click.Context, *, capability: str, dry_run: bool, timeout: float, yes: bool, json_wanted: bool
    ) -> None:
        say = told(json_wanted)
        present = configuration.project()
        with configuration.parts(capability) as parts:
            ready = configuration.readiness(present, state.endpoints(present))
            move, gates = plan(parts, verb, ready)
            for gate in gates:
                say(_line(gate))
            if dry_run:
                _show_plan(parts, verb, gates, json_wanted=json_wanted)
                if not all(gate.open for gate in gates):
                    context.exit(2)
                return
            confirm(f"make the {TOWARDS[verb]} the owner of {capability}, instead of the {move.owner}", yes=yes)
            done = switch(parts, verb, ready=ready, timeout=timeout, boundary=configuration.boundary)
        _show(done, json_wanted=json_wanted)

    return command


def _line(gate: Gate) -> str:
    return f"  {mark(gate.open)} {gate.name}: {gate.found}"


def _show_plan(parts: Parts, verb: str, gates: list[Gate], *, json_wanted: bool) -> None:
    say = told(json_wanted)
    shut = shut_gates(gates, place=parts.name)
    for finding in shut:
        say(f"  → {finding.remedy}")
    if shut:
        waiting = all(gate.open or gate.opens_by_itself for gate in gates)
        say(
            f"would wait until --timeout, and then be refused: {_named(gates)}; nothing was changed"
            if waiting
            else f"would be refused: {_named(gates)}; nothing was changed"
        )
    else:
        say("would then: " + " → ".join(step.name for step in STEPS))
    if json_wanted:
        shown = [{"gate": gate.name, "open": gate.open, "found": gate.found} for gate in gates]
        click.echo(
            as_json(
                {"capability": parts.name, "verb": verb, "dry_run": True, "gates": shown},
                ready=not shut,
                findings=shut,
                next=commands(shut) if shut else [f"strangler {verb} {parts.name}"],
                steps=[step.name for step in STEPS],
            )
        )


def _named(gates: list[Gate]) -> str:
    return ", ".join(f"the gate {gate.name} is shut" for gate in gates if not gate.open)


def _show(done: Switched, *, json_wanted: bool) -> None:
    say = told(json_wanted)
    for taken in done.steps:
        say(f"  {taken.step:<18} {taken.ms:9.2f} ms")
    tries = f", {done.tries} tries to fence included" if done.tries > 1 else ""
    say(
        f"{done.capability}: the {done.owner} owns it at epoch {done.epoch}; writes paused for {done.pause_ms:.1f} ms"
        f"{tries} ({done.seconds:.1f} s in all)"
    )
    if done.events_held:
        say("  its events still wait for the old owner's outbox to empty; `strangler serve` releases them then")
    if json_wanted:
        follows = ["reverse", "complete"] if done.owner == SERVICE else ["switch", "cancel"]
        click.echo(as_json(done, next=[f"strangler {verb} {done.capability}" for verb in follows]))
