"""``strangler rehearse``: moves under traffic, and the proof that nothing was lost or doubled."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from strangler import configuration
from strangler.adapters import toml
from strangler.cli.console import as_json
from strangler.cli.display import mark
from strangler.cli.narrator import Narrator
from strangler.domain.errors import ConfigurationError, StackError
from strangler.domain.findings import Finding, Severity
from strangler.domain.phase import State
from strangler.domain.project import Project
from strangler.rehearsal import report, script
from strangler.rehearsal.adapters import staging
from strangler.rehearsal.adapters.stack import RehearsalStack
from strangler.rehearsal.adapters.staging import Size, staged
from strangler.rehearsal.rehearsal import Aim, rehearse
from strangler.stack import startup, state

WRITERS = 8
SHOWN = 5  # of each sort of problem are printed; the others are in the details

EPILOG = """\b
Examples:
  strangler rehearse
  strangler rehearse --data sample --clients 8 --json
  strangler rehearse --script night.txt --report var/night/report.json

Beside the report stand details.json (what failed, was lost or doubled), the journals of all clients and
rehearsal.log with what every verb said. Exit code 1 when the promise was broken or not proved.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    script: Path | None
    seconds: float
    requests: int
    clients: int
    processes: int
    think: float
    writes: int
    data: str
    report: Path | None
    keep: bool
    json: bool
    self_test: bool


@click.command(epilog=EPILOG)
@click.option("--script", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Steps, one per line.")
@click.option("--seconds", default=0.0, help="Traffic lasts at least so long.", show_default=True)
@click.option("--requests", default=5000, help="There are at least so many requests.", show_default=True)
@click.option("--clients", default=24, help="Clients with think time.", show_default=True)
@click.option("--processes", default=2, help="Processes they run in.", show_default=True)
@click.option("--think", default=0.2, help="Mean think time in seconds.", show_default=True)
@click.option("--writes", default=1000, help="Fewer writes to what moves prove nothing.", show_default=True)
@click.option(
    "--data",
    type=click.Choice(startup.DATA),
    default="journey",
    help="What a stack of its own is filled with.",
    show_default=True,
)
@click.option("--report", type=click.Path(path_type=Path), help="[default: demo/report.json in the state]")
@click.option("--keep", is_flag=True, help="Leave the stack up.")
@click.option("--json", is_flag=True, help="Print the report as JSON.")
@click.option("--self-test", is_flag=True, help="No moves: traffic, check, and the checker's own test.")
def command(**options: Any) -> None:
    """Rehearses moves under the scenario's traffic, and checks every write.

    Uses the stack that is up; else brings up one of its own, beside whatever data you have, and takes
    it down again. Without --script and traffic.script each capability is moved, and the first one moved back
    and out again.
    """
    # A rehearsal that is terminated also ends its traffic and its stack.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Journals say for whom the clients act, and how they log in.
    os.umask(0o077)
    chosen = Options(**options)
    project = toml.load()
    steps = _steps(project, chosen)
    staging.require_scenario(project)
    script.require_possible(steps, _present(project))
    evidence = _rehearse(project, chosen, steps)
    content = report.report(evidence)
    path = chosen.report or project.state / "demo" / "report.json"
    details = report.details(evidence)
    _write(path, content)
    _write(path.with_name("details.json"), details)
    # The report comes last, where it is seen.
    _print_problems(details, report.grouped(evidence.records), path)
    if chosen.json:
        click.echo(as_json(content, ready=content["ok"], findings=_findings(details)))
    else:
        click.echo(report.table(content))
    sys.exit(0 if content["ok"] else 1)


def _findings(details: dict[str, Any]) -> list[Finding]:
    """What a rehearsal could not prove; the details of each stand beside the report."""
    remedy = "see details.json and the logs beside the report"
    return [Finding("rehearsal", Severity.ERROR, "the rehearsal", problem, remedy) for problem in details["problems"]]


def _steps(project: Project, chosen: Options) -> list[script.ScriptStep]:
    if chosen.self_test:
        return []
    path = chosen.script or project.script
    if path is None:
        return script.default(list(project.capabilities))
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror}",
            place=str(path),
            remedy="correct traffic.script in strangler.toml",
            id="scenario",
        ) from error
    return script.parse(text, place=str(path), capabilities=project.capabilities)


def _present(project: Project) -> dict[str, str]:
    """How far each capability is; of a stack that the rehearsal will bring up itself, none has been started."""
    present = dict.fromkeys(project.capabilities, script.NOT_STARTED)
    try:
        endpoints = state.endpoints(project)
    except StackError:
        return present
    ledger = configuration.ledger(project, endpoints)
    try:
        for move in ledger.moves():
            if move.capability in present and move.state is not State.STARTING:
                present[move.capability] = script.COMPLETED if move.state is State.COMPLETED else move.owner
    finally:
        ledger.close()
    return present


def _rehearse(project: Project, chosen: Options, steps: list[script.ScriptStep]) -> report.Evidence:
    began = time.monotonic()
    folder = (chosen.report or project.state / "demo" / "report.json").parent
    size = Size(chosen.clients, WRITERS, chosen.processes, chosen.think)
    aim = Aim(500 if chosen.self_test else chosen.requests, chosen.seconds, chosen.writes)
    with ExitStack() as held:
        stack = held.enter_context(RehearsalStack(project, data=chosen.data, keep=chosen.keep))
        stage = held.enter_context(staged(stack.project, stack.endpoints, size, folder=folder))
        narrator = held.enter_context(Narrator(sys.stderr, began=began, totals=stage.traffic.totals))
        evidence = rehearse(stage, steps, aim, say=narrator.say, began=began)
        stack.proved = not report.problems(evidence)
        if chosen.keep:
            click.echo(f"the stack stays up: STRANGLER_STATE={stack.project.state} strangler status", err=True)
        return evidence


def _print_problems(details: dict[str, Any], failures: list[str], path: Path) -> None:
    for problem in details["problems"][:SHOWN]:
        click.echo(f"  {mark(False)} {problem}", err=True)
    for failure in failures[:SHOWN]:
        click.echo(f"  failed: {failure}", err=True)
    for fault in ("lost", "doubled"):
        for finding in details[fault][:SHOWN]:
            click.echo(f"  {fault}: {finding['row']}: expected {finding['expected']}", err=True)
    more = {
        "problems": len(details["problems"]),
        "kinds of failures": len(failures),
        "lost": len(details["lost"]),
        "doubled": len(details["doubled"]),
    }
    left = [f"{count - SHOWN} more {what}" for what, count in more.items() if count > SHOWN]
    if left:
        click.echo(f"  and {', '.join(left)}: {path.with_name('details.json')}", err=True)
    click.echo(f"report: {path}", err=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
