"""``strangler init``: a first strangler.toml, and what it lacks later."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from strangler.adapters import toml
from strangler.adapters.postgres.session import dsn
from strangler.cli.console import as_json, show_findings, told
from strangler.cli.drafts import write_whole
from strangler.domain.errors import ConfigurationError, RefusedError, StranglerError
from strangler.domain.findings import Finding, Severity
from strangler.domain.words import counted
from strangler.init import asking, catalog, described, drafting, drifting, writing
from strangler.init.described import Described
from strangler.init.drafting import Draft

EPILOG = """\b
Examples:
  strangler init                     # in the folder of manage.py, or the one above
  strangler init --print
  strangler init --python ../app/.venv/bin/python --app billing
  strangler init --check             # later: what the file does not know yet

Writes one file, strangler.toml (or the one that STRANGLER_CONFIG names), and changes nothing else. An existing file is
left as it is without --force. With --check, exit code 1 if something has come that the file does not know.
"""


@click.command(epilog=EPILOG)
@click.option("--check", is_flag=True, help="Write nothing; name what has come since the file was written.")
@click.option("--print", "shown", is_flag=True, help="Write nothing; print the file that would be written.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@click.option(
    "--app", "apps", metavar="LABEL", multiple=True,
    help="An app to move; repeat it. Without one: every app of the project's own that has tables.",
)  # fmt: skip
@click.option("--manage", type=click.Path(exists=True, path_type=Path, dir_okay=False), help="The project's manage.py.")
@click.option(
    "--python", type=click.Path(exists=True, path_type=Path, dir_okay=False),
    help="The interpreter of an environment that has the project's packages and the chassis. Without it: .venv, venv "
    "or env beside manage.py, or the active environment.",
)  # fmt: skip
@click.option(
    "--from", "source", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="What `manage.py strangler_init` has printed elsewhere, as in a container; - is stdin.",
)  # fmt: skip
@click.option(
    "--database", metavar="URL", envvar="STRANGLER_INIT_DATABASE", show_envvar=True,
    help="The monolith's database: names tables that no model has. Where the project cannot be asked, its tables and "
    "foreign keys are all that is written.",
)  # fmt: skip
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(
    context: click.Context,
    *,
    check: bool,
    shown: bool,
    force: bool,
    apps: tuple[str, ...],
    manage: Path | None,
    python: Path | None,
    source: Path | None,
    database: str | None,
    json_wanted: bool,
) -> None:
    """Writes strangler.toml from what a Django project says of itself: what could move, what refers to it, its routes.

    A comment with a question mark stands where a person has to decide.
    """
    path = Path(os.environ.get("STRANGLER_CONFIG") or toml.FILE_NAME)
    path = path.parent.resolve() / path.name
    say = told(json_wanted or shown)
    if not (check or shown or force) and path.exists():
        raise RefusedError(
            "is there already, and was not changed",
            place=str(path),
            remedy="run `strangler init --check` to see what it lacks, `strangler init --print` to see a new one, or "
            "`strangler init --force` to write over it",
            id="file-exists",
        )
    origin = Origin(manage, python, source, database, path.parent)
    if check:
        project, known = toml.load(path, addresses=False), path.read_text(encoding="utf-8")
        _check(context, drifting.drift(origin.described(say), project, known), say, path, json_wanted=json_wanted)
        return
    draft = origin.draft(origin.described(say), apps)
    text = writing.text(draft)
    if shown:
        click.echo(text, nl=False)
        return
    write_whole(path, text, force=force)
    _tell(draft, path, say, json_wanted=json_wanted)


class Origin:
    """Whom to ask about the project, and where the file will lie."""

    def __init__(
        self, manage: Path | None, python: Path | None, source: Path | None, database: str | None, folder: Path
    ) -> None:
        self.manage = manage
        self.python = python
        self.given = python is not None
        self.source = source
        self.database = database
        self.folder = folder
        self.said: list[str] = []

    def described(self, say: Callable[[str], None]) -> Described:
        """The project's description; where it gives none, that of the database that was named."""
        if self.database and (wrong := dsn.flaw(self.database)):
            raise ConfigurationError(wrong[0], place="--database", remedy=wrong[1])
        try:
            found = self._asked(say)
        except StranglerError as error:
            if self.database is None or self.source is not None:
                raise
            self.said.append(f"The project was not asked: {error.place}: {error.message}.")
            say(f"{self.said[-1]} The database alone is asked: no routes, no on_delete, no programs.")
            return catalog.describe(self.database)
        return catalog.complete(found, self.database) if self.database else found

    def _asked(self, say: Callable[[str], None]) -> Described:
        if self.source is not None:
            return _read(self.source)
        self.manage = self.manage.resolve() if self.manage else asking.find_manage(self.folder)
        self.python = self.python or asking.find_python(self.manage, self.folder)
        say(f"asking {self.manage} with {self.python or sys.executable}")
        return asking.ask(self.manage, self.python and self.python.absolute())

    def draft(self, found: Described, apps: tuple[str, ...]) -> Draft:
        """What the file will say."""
        if not self.manage or not found.whole:
            return drafting.draft(found, chosen=apps, said=self.said)
        # An environment that only happens to be active is this shell's, not the project's.
        python = os.path.relpath(self.python, self.folder) if self.python else None
        within = self.given or (python is not None and not python.startswith(".."))
        return drafting.draft(
            replace(found, name=self.folder.name),
            chosen=apps,
            folder=os.path.relpath(self.manage.parent, self.folder),
            python=python if within else None,
            said=self.said,
        )


def _read(source: Path) -> Described:
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot be read as JSON: {error}", place=str(source), remedy=described.REMEDY, id="file-unreadable"
        ) from error
    return described.read(content, str(source))


def _tell(draft: Draft, path: Path, say: Callable[[str], None], *, json_wanted: bool) -> None:
    findings = _in_the_way(path, draft)
    for each in draft.candidates:
        routes = [claim for claim in each.claims if not claim.refusal]
        asked = len(each.notes) + sum(bool(claim.doubts or claim.refusal) for claim in each.claims)
        say(
            f"  {each.name}: {counted(len(each.tables), 'table')}, {counted(len(routes), 'route')}, "
            f"{counted(len(each.references), 'reference')} from outside"
            + (f", {counted(asked, 'question')}" if asked else "")
            + ("" if each.active else "; no URL belongs to it, so it stays")
        )
    show_findings(findings, say)
    next = ["strangler preflight"]
    say(f"wrote {path}\n  next: decide its questions (# ?), make the services, then {', '.join(next)}")
    if json_wanted:
        click.echo(
            as_json(
                {
                    "verb": "init",
                    "file": str(path),
                    "whole": draft.described.whole,
                    "capabilities": {each.name: _document(each) for each in draft.candidates},
                    "stays": [one.pattern for one in draft.stays],
                },
                ready=not findings,
                findings=findings,
                next=next,
            )
        )


def _document(each: drafting.Candidate) -> dict[str, object]:
    return {
        "active": each.active,
        "tables": list(each.tables),
        "routes": [claim.text for claim in each.claims if not claim.refusal],
        "questions": [
            *each.notes,
            *(f"{one.text}: {'; '.join(filter(None, [one.refusal, *one.doubts]))}"
              for one in each.claims if one.refusal or one.doubts),
        ],
    }  # fmt: skip


def _in_the_way(path: Path, draft: Draft) -> list[Finding]:
    """Why the tool would not accept the file as it is."""
    try:
        project = toml.load(path, addresses=False)
    except StranglerError as error:
        return [error.finding(Severity.WARNING)]
    if project.capabilities:
        return []
    why = (
        "no table is an app's of this project" if not draft.candidates else "no URL belongs to a table that could move"
    )
    return [
        Finding(
            "nothing-to-move", Severity.WARNING, str(path), f"no capability is in the file: {why}",
            "name an app whose tables are to move: `strangler init --force --app LABEL`",
        )
    ]  # fmt: skip


def _check(
    context: click.Context, findings: list[Finding], say: Callable[[str], None], path: Path, *, json_wanted: bool
) -> None:
    errors = [one for one in findings if one.severity is Severity.ERROR]
    say(f"{path}: {counted(len(errors), 'thing')} it does not know" if errors else f"{path}: it knows all")
    show_findings(findings, say)
    if json_wanted:
        click.echo(
            as_json(
                {"verb": "init", "file": str(path)},
                ready=not errors,
                findings=findings,
                next=["strangler init --check"] if errors else ["strangler preflight"],
            )
        )
    if errors:
        context.exit(1)
