"""``strangler preflight``: all that can be known of a move before anything is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import click

from strangler import configuration
from strangler.application.preflight import Report, preflight
from strangler.cli.console import as_json, show_findings, told
from strangler.domain.errors import RefusedError
from strangler.domain.findings import commands
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler preflight                # every capability
  strangler preflight CAPABILITY
  strangler preflight CAPABILITY --json

Changes nothing, and takes no lock that a writer feels. Exit code 2 if something forbids the move.
"""
TELL_AFTER_SECONDS = 2.0


@click.command(epilog=EPILOG)
@click.argument("capabilities", metavar="[CAPABILITY]...", nargs=-1)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, *, capabilities: tuple[str, ...], json_wanted: bool) -> None:
    """Looks at everything that could go wrong with a move, before anything is changed."""
    say = told(json_wanted)
    project = configuration.project()
    names = list(dict.fromkeys(capabilities or project.capabilities))
    if not names:
        raise RefusedError(
            "no capability is described", place=str(project.path), remedy="add a [capabilities.NAME] section"
        )
    for name in names:
        configuration.capability(project, name)
    reports = []
    for name in names:
        # It may be run before anything is started.
        databases = {project.ledger, project.capabilities[name].database}
        with configuration.parts(name, endpoints=partial(state.endpoints_of_databases, names=databases)) as parts:
            report = preflight(parts, tell=_teller(name))
        _show(report, say)
        reports.append(report)
    ready = all(report.ready for report in reports)
    findings = [one for report in reports for one in report.looked.findings]
    if json_wanted:
        click.echo(
            as_json(
                {
                    "verb": "preflight",
                    "capabilities": {report.capability: _document(report) for report in reports},
                },
                ready=ready,
                findings=findings,
                next=[step for report in reports for step in _next(report)],
            )
        )
    if not ready:
        context.exit(2)


def _teller(name: str) -> Callable[[str], None]:
    """Says what is being looked at, once a look takes long."""
    began = time.monotonic()

    def tell(what: str) -> None:
        if time.monotonic() - began > TELL_AFTER_SECONDS:
            click.echo(f"{name}: looking at {what}", err=True)

    return tell


def _next(report: Report) -> list[str]:
    if not report.ready:
        return [*commands(report.looked.errors), f"strangler preflight {report.capability}"]
    return [f"strangler {'status' if report.begun else 'start ' + report.capability}"]


def _document(report: Report) -> dict[str, object]:
    return {
        "ready": report.ready,
        "begun": report.begun,
        "findings": [one.as_dict() for one in report.looked.findings],
        "looked_at": report.looked.at,
        "not_looked_at": report.looked.not_at,
        "estimate": report.looked.estimate.as_dict() if report.looked.estimate else None,
        "next": _next(report),
    }


def _show(report: Report, say: Callable[[str], None]) -> None:
    errors = len(report.looked.errors)
    warnings = sum(one.severity == "warning" for one in report.looked.findings)
    say(
        f"{report.capability}: "
        + (f"{errors} {'thing' if errors == 1 else 'things'} in the way" if errors else "nothing in the way")
        + (f", {warnings} to know of" if warnings else "")
    )
    show_findings(report.looked.findings, say)
    say(f"  looked at {len(report.looked.at)} things, which --json names")
    say("  NOT looked at:" + "".join(f"\n    {one}" for one in report.looked.not_at))
    if report.looked.estimate:
        say("  a start and a verify would take:" + "".join(f"\n    {one}" for one in report.looked.estimate.lines()))
    say("  next: " + ", ".join(_next(report)))
