"""``strangler doctor``: what should not be as it is."""

from __future__ import annotations

import click

from strangler import configuration
from strangler.adapters.postgres.examination import PostgresExamination
from strangler.application.doctor import examine
from strangler.cli.console import as_json
from strangler.domain.findings import Finding, Severity, commands
from strangler.domain.words import counted
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler doctor
  strangler doctor --json

Exit code 1 when there is a finding.
"""


@click.command(epilog=EPILOG)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, *, json_wanted: bool) -> None:
    """Looks for leavings, slots that hold WAL, tables without a place, sequences behind, drift, two owners or none."""
    project = configuration.project()
    endpoints = state.endpoints(project)
    all_parts = [configuration.parts_of(project, endpoints, name) for name in project.capabilities]
    examination = PostgresExamination(project, endpoints.databases)
    try:
        findings = examine(all_parts, examination)
    finally:
        examination.close()
        for parts in all_parts:
            parts.close()
    if json_wanted:
        found = [Finding(one.id, Severity.ERROR, one.place, one.message, one.hint) for one in findings]
        click.echo(as_json({"verb": "doctor"}, ready=not found, findings=found, next=commands(found)))
    else:
        for finding in findings:
            click.echo(f"{finding.id}: {finding.place}: {finding.message}\n  → {finding.hint}")
        click.echo(counted(len(findings), "finding") if findings else "nothing found")
    if findings:
        context.exit(1)
