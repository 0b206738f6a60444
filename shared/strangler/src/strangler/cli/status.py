"""``strangler status``: how far each move is."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import click

from strangler import configuration
from strangler.application.sides import Parts
from strangler.application.status import Status, status
from strangler.domain.findings import Finding, Severity
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler status
  strangler status --watch
  strangler status --json
"""


@click.command(epilog=EPILOG)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Show it again every second.")
def command(*, json_wanted: bool, watch: bool) -> None:
    """Shows each capability's phase, owner, streams, last verify, and what can be done next."""
    project = configuration.project()
    endpoints = state.endpoints(project)
    all_parts = [configuration.parts_of(project, endpoints, name) for name in project.capabilities]
    try:
        while True:
            found = [status(parts) for parts in all_parts]
            restarts = state.restarts(project)
            if json_wanted:
                click.echo(json.dumps(_document(found, restarts)))
            else:
                if watch:
                    click.clear()
                _show(found, restarts)
            if not watch:
                return
            time.sleep(1)
    finally:
        _close(all_parts)


def _close(all_parts: list[Parts]) -> None:
    for parts in all_parts:
        parts.close()


def _document(found: list[Status], restarts: dict[str, int]) -> dict[str, Any]:
    problems = [
        Finding("problem", Severity.ERROR, one.capability, problem, "run `strangler doctor`")
        for one in found
        for problem in one.problems
    ]
    return {
        "capabilities": {one.capability: asdict(one) for one in found},
        "restarts": restarts,
        "ready": not problems,
        "findings": [one.as_dict() for one in problems],
        "next": [f"strangler {verb} {one.capability}" for one in found for verb in one.next],
    }


def _show(found: list[Status], restarts: dict[str, int]) -> None:
    for one in found:
        step = f", step {one.step}" if one.step else ""
        click.echo(f"{one.capability}: {one.phase}{step}; owner {one.owner}, epoch {one.epoch}")
        for stream in one.streams:
            if stream["exists"]:
                click.echo(
                    f"  {stream['direction']} stream {'runs' if stream['active'] else 'STOPPED'}, "
                    f"{stream['lag_bytes'] or 0:,} bytes and {stream['lag_seconds'] or 0:.3f} s behind, "
                    f"{stream['errors']} errors"
                )
        if one.verified:
            click.echo(
                f"  verified {one.verified['verified_at'][:19]}: {one.verified['verified_rows']:,} rows, "
                f"{one.verified['differing']} differ"
            )
        if one.orphans:
            click.echo("  deletions: " + ", ".join(f"{count} {what}" for what, count in one.orphans.items()))
        if one.events:
            waiting = ", ".join(f"{count} in the {side}" for side, count in one.events.get("backlog", {}).items())
            held = f"those of the {one.owner} are HELD until the other outbox is empty; " if one.events["held"] else ""
            click.echo(f"  events: {held}waiting {waiting}")
        agents = ", ".join(f"{agent} at {epoch}" for agent, epoch in one.gateway.items()) or "no agent seen"
        click.echo(f"  routes: {len(one.routes)} to the {one.owner}; gateway: {agents}")
        for problem in one.problems:
            click.echo(f"  PROBLEM: {problem}")
        if one.next:
            click.echo(f"  next: {', '.join(f'strangler {verb} {one.capability}' for verb in one.next)}")
    for name, count in restarts.items():
        click.echo(f"process {name}: started again {count} times")
