"""What the verbs of a move print: progress, confirmation, and JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import click

from strangler.domain.errors import RefusedError
from strangler.domain.findings import Finding, Severity, commands

# Before that the rate is that of the first rows, which come with connections and cold caches.
ESTIMATED_AFTER_SECONDS = 3.0
ESTIMATED_AFTER_SHARE = 0.05
PAGE = "docs/how-to/when-something-is-wrong.md"


class Meter:
    """Rows, rate and time left: on a terminal one line that is overwritten, elsewhere one line every two seconds."""

    def __init__(self, what: str, *, silent: bool = False) -> None:
        self.what = what
        self.silent = silent
        self._began = time.monotonic()
        self._told = 0.0
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int, expected: int) -> None:
        """Shows how far it has come; the rows expected are the planner's estimate. The time left is shown as soon as
        enough has been done to tell it."""
        now = time.monotonic()
        if self.silent or now - self._told < (0.2 if self._terminal else 2.0):
            return
        self._told = now
        rate = done / max(now - self._began, 1e-9)
        known = now - self._began >= ESTIMATED_AFTER_SECONDS and done >= expected * ESTIMATED_AFTER_SHARE
        left = f", about {(expected - done) / rate:,.0f} s left" if known and rate > 0 and expected > done else ""
        total = f" of about {expected:,}" if expected > done else ""
        start, end = ("\r\x1b[K", "") if self._terminal else ("", "\n")
        click.echo(f"{start}{self.what}: {done:,}{total} rows, {rate:,.0f}/s{left}{end}", err=True, nl=False)

    def end(self) -> None:
        """Leaves the line on a terminal."""
        if self._terminal and not self.silent:
            click.echo("\r\x1b[K", err=True, nl=False)


def confirm(what: str, *, yes: bool) -> None:
    """Says what will be done and asks; without a terminal ``--yes`` must have been given.

    Raises:
        RefusedError: nothing was confirmed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(
            f"this will {what}", place="no terminal to ask on", remedy="give --yes to do it", id="not-confirmed"
        )
    if not click.confirm(f"This will {what}. Go on?"):
        raise RefusedError("nothing was done", remedy="run it again when you are ready", id="not-confirmed")


def as_json(
    result: Any, *, ready: bool = True, findings: Iterable[Finding] = (), next: Iterable[str] = (), **more: object
) -> str:
    """One line of JSON, as docs/reference/json.md describes it.

    ``ready``: nothing stands in the way of what was asked. ``next``: the commands that can follow.
    """
    own = asdict(result) if not isinstance(result, dict) else result
    shared = {"ready": ready, "findings": [one.as_dict() for one in findings], "next": list(next)}
    return json.dumps({**own, **more, **shared})


def refusal(findings: Sequence[Finding]) -> str:
    """The JSON of a verb that ends with an error."""
    return as_json({}, ready=False, findings=findings, next=commands(findings))


def marked(severity: Severity) -> str:
    """The sign before a finding."""
    return {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.NOTE: "·"}[severity]


def show_findings(findings: Iterable[Finding], say: Callable[[str], None]) -> None:
    """Prints the findings, the worst first, and those that one remedy cures under one identifier.

    The identifier is the heading of a section in when-something-is-wrong.md.
    """
    ordered = sorted(findings, key=lambda one: list(Severity).index(one.severity))
    alike: dict[tuple[Severity, str, str], list[Finding]] = {}
    for one in ordered:
        alike.setdefault((one.severity, one.id, one.remedy), []).append(one)
    for (severity, id, remedy), group in alike.items():
        say(f"  {marked(severity)} {id}")
        for one in group:
            place = "" if one.message.startswith(one.place) else f"{one.place}: "
            say(f"      {place}{one.message}")
        say(f"      → {remedy.lstrip()}")


def read_on(findings: Iterable[Finding]) -> str:
    """Where the page stands that says more of each of them."""
    return f"see {', '.join(dict.fromkeys(f'[{one.id}]' for one in findings))} in {PAGE}"


def told(as_json_wanted: bool) -> Callable[[str], None]:
    """Prints text for people: to stdout, or to stderr if stdout has the JSON."""
    return lambda text: click.echo(text, err=as_json_wanted)
