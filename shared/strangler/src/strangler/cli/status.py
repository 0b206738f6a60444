"""``strangler status``: how far each move is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

import click

from strangler import configuration
from strangler.application.sides import Parts
from strangler.application.status import Status, status
from strangler.cli.console import as_json
from strangler.cli.display import Screen, warn
from strangler.cli.names import CapabilityName
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import Project
from strangler.domain.words import counted
from strangler.stack import state

EPILOG = """\b
Examples:
  strangler status
  strangler status CAPABILITY
  strangler status --watch                 # until Ctrl-C
  strangler status --json
"""
WATCH_SECONDS = 1.0


@click.command(epilog=EPILOG)
@click.argument("capabilities", nargs=-1, metavar="[CAPABILITY]...", type=CapabilityName())
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Show it again every second.")
def command(*, capabilities: tuple[str, ...], json_wanted: bool, watch: bool) -> None:
    """Shows each capability's phase, owner, streams, last verify, and what can be done next.

    Only of the capabilities that are named, if any are.
    """
    project = configuration.project()
    names = [configuration.capability(project, name).name for name in dict.fromkeys(capabilities)]
    endpoints = state.endpoints(project)
    all_parts = [configuration.parts_of(project, endpoints, name) for name in names or project.capabilities]
    try:
        if watch:
            _watch(lambda: _page(project, all_parts, json_wanted=json_wanted))
        else:
            click.echo(_page(project, all_parts, json_wanted=json_wanted))
    finally:
        _close(all_parts)


def _watch(page: Callable[[], str]) -> None:
    """Until Ctrl-C, which is how it is meant to end."""
    screen = Screen()
    try:
        first = page()
        screen.clear()
        screen.show(first)
        while True:
            time.sleep(WATCH_SECONDS)
            screen.show(page())
    except KeyboardInterrupt:
        screen.leave()


def _page(project: Project, all_parts: list[Parts], *, json_wanted: bool) -> str:
    found = [status(parts) for parts in all_parts]
    restarts = state.restarts(project)
    if json_wanted:
        return _json(found, restarts)
    return "\n".join([*_lines(found, restarts), *_watched(project), *_space(project)])


def _watched(project: Project) -> list[str]:
    address = state.prometheus(project)
    return [f"prometheus: {address}"] if address else []


def _space(project: Project) -> list[str]:
    short = state.short_of_space(project)
    return [warn(f"PROBLEM: {short}")] if short else []


def _close(all_parts: list[Parts]) -> None:
    for parts in all_parts:
        parts.close()


def _json(found: list[Status], restarts: dict[str, int]) -> str:
    problems = [
        Finding("problem", Severity.ERROR, one.capability, problem, "run `strangler doctor`")
        for one in found
        for problem in one.problems
    ]
    return as_json(
        {"capabilities": {one.capability: asdict(one) for one in found}, "restarts": restarts},
        ready=not problems,
        findings=problems,
        next=[_command(verb, one.capability) for one in found for verb in one.next],
    )


def _lines(found: list[Status], restarts: dict[str, int]) -> Iterator[str]:
    for one in found:
        yield from _capability(one)
    for name, count in restarts.items():
        yield f"process {name}: started again {counted(count, 'time')}"


def _capability(one: Status) -> Iterator[str]:
    step = f", step {one.step}" if one.step else ""
    yield f"{one.capability}: {one.phase}{step}; owner {one.owner}, epoch {one.epoch}"
    for stream in one.streams:
        if stream["exists"]:
            runs = "runs" if stream["active"] else warn("STOPPED")
            yield (
                f"  {stream['direction']} stream {runs}, {counted(stream['lag_bytes'] or 0, 'byte')} and "
                f"{stream['lag_seconds'] or 0:.3f} s behind, {counted(stream['errors'], 'error')}"
            )
    if one.verified:
        rows, differing = one.verified["verified_rows"], one.verified["differing"]
        differ = f"{differing} differ" if differing != 1 else "1 differs"
        yield f"  verified {one.verified['verified_at'][:19]}: {counted(rows, 'row')}, {differ}"
    if one.orphans:
        yield "  deletions: " + ", ".join(f"{count} {what}" for what, count in one.orphans.items())
    if one.events:
        waiting = ", ".join(f"{count} in the {side}" for side, count in one.events.get("backlog", {}).items())
        held = f"those of the {one.owner} are HELD until the other outbox is empty; " if one.events["held"] else ""
        yield f"  events: {held}waiting {waiting}"
    agents = ", ".join(f"{agent} at {epoch}" for agent, epoch in one.gateway.items()) or "no agent seen"
    yield f"  routes: {len(one.routes)} to the {one.owner}; gateway: {agents}"
    if one.canary.get("weight"):
        yield f"  canary: {one.canary['weight']} % of the reads go to the copy"
    for problem in one.problems:
        yield f"  {warn('PROBLEM')}: {problem}"
    if one.next:
        yield f"  next: {', '.join(_command(verb, one.capability) for verb in one.next)}"


def _command(verb: str, capability: str) -> str:
    """The words to type; a verb may have an option."""
    name, *options = verb.split()
    return " ".join(["strangler", name, capability, *options])
