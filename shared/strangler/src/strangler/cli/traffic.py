"""``strangler traffic``: a scenario for rehearsals, drafted from what is known of a project's requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from strangler.adapters import toml
from strangler.adapters.postgres.session import dsn
from strangler.cli.console import as_json, show_findings, told
from strangler.cli.drafts import write_whole
from strangler.domain.errors import ConfigurationError, RefusedError, StranglerError
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import Project
from strangler.domain.words import counted
from strangler.stack import state
from strangler.traffic import accesslog, columns, merging, openapi, planning, recording, running, writing
from strangler.traffic.known import Known, Shape
from strangler.traffic.planning import Plan
from strangler.traffic.variables import Variables

EPILOG = """\b
Examples:
  strangler traffic draft --openapi openapi.yaml
  strangler traffic record -- manage.py test
  strangler traffic draft --recording traffic.jsonl
"""
DRAFT_EPILOG = """\b
Examples:
  strangler traffic draft --openapi openapi.yaml
  strangler traffic draft --log var/log/access.log --openapi openapi.yaml
  strangler traffic draft --recording traffic.jsonl --to rehearsals/traffic.py
  strangler traffic draft --openapi openapi.json --print

Writes one file and changes nothing else. An existing file is left as it is without --force. No password, token or
cookie is written: accounts are made up, or the environment names them. A recording knows what each write leaves in the
database; with the others its tables are asked, of the local stack that is up or of --database.
"""
RECORD_EPILOG = """\b
Examples:
  strangler traffic record -- manage.py test
  strangler traffic record --to traffic.jsonl -- python -m pytest tests/api
  strangler traffic record --python ../app/.venv/bin/python -- manage.py test billing

The project's code stays as it is; its environment needs the chassis. Requests of Django's Client and AsyncClient and of
REST framework's APIClient are recorded, with the rows that each has changed, and without passwords, tokens and cookies.
"""
DEFAULT = Path("traffic.py")
RECORDING = Path("traffic.jsonl")
FILE = click.Path(path_type=Path, dir_okay=False)
NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Drafted:
    """A scenario's file; ``shown``: it was printed, and not written."""

    path: Path
    name: str
    text: str
    shown: bool


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Drafts the scenario that `strangler rehearse` plays, from a log, an OpenAPI file, or the project's own tests."""


@command.command(epilog=RECORD_EPILOG)
@click.option("--to", "path", type=FILE, default=RECORDING, show_default=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@click.option(
    "--python", type=click.Path(exists=True, path_type=Path, dir_okay=False),
    help="The interpreter for a command that begins with a .py file. Without it: .venv, venv or env beside that file, "
    "or the active environment.",
)  # fmt: skip
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.argument("words", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def record(*, path: Path, force: bool, python: Path | None, json_wanted: bool, words: tuple[str, ...]) -> None:
    """Runs the project's tests and writes down their requests, with the rows that each of them has changed."""
    _require_free(path, force=force, verb="record")
    say = told(json_wanted)
    code, count = running.run(words, path, python=python)
    findings: list[Finding] = []
    if code:
        findings.append(
            Finding(
                "tests-failed", Severity.WARNING, " ".join(words),
                f"ended with exit code {code}; what it had recorded until then is in {path}",
                "see what it says, and run it again if tests were left out",
            )
        )  # fmt: skip
    findings += [
        Finding("not-recorded", Severity.WARNING, str(path), each, "see the request's writes by hand in the scenario")
        for each in recording.unseen(path)
    ]
    show_findings(findings, say)
    next = [f"strangler traffic draft --recording {path}"]
    say(f"wrote {path}: {counted(count, 'request')}\n  next: {next[0]}")
    if json_wanted:
        click.echo(
            as_json(
                {"verb": "traffic record", "file": str(path), "requests": count, "exit_code": code},
                findings=findings, next=next,
            )
        )  # fmt: skip


@command.command(epilog=DRAFT_EPILOG)
@click.option("--openapi", "document", type=FILE, help="An OpenAPI file of version 3.0 or 3.1, YAML or JSON.")
@click.option("--log", type=FILE, help="The gateway's access log, of a staging or of the monolith behind it.")
@click.option("--recording", "recorded", type=FILE, help="What `strangler traffic record` has written.")
@click.option(
    "--database", metavar="URL", envvar="STRANGLER_TRAFFIC_DATABASE", show_envvar=True,
    help="The monolith's database, whose tables say what a write leaves. Without it: that of the stack that is up.",
)  # fmt: skip
@click.option("--to", "path", type=FILE, default=DEFAULT, show_default=True, help="The file to write.")
@click.option("--class", "name", default="Traffic", show_default=True, help="What the scenario's class is called.")
@click.option("--print", "shown", is_flag=True, help="Write nothing; print the file that would be written.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def draft(
    *,
    document: Path | None,
    log: Path | None,
    recorded: Path | None,
    database: str | None,
    path: Path,
    name: str,
    shown: bool,
    force: bool,
    json_wanted: bool,
) -> None:
    """Writes a scenario: clients, writers, expected statuses, and what each write must leave in the database.

    The routes of strangler.toml say which requests matter. A comment with a question mark names what a person has to
    decide.
    """
    if not NAME.fullmatch(name):
        raise click.BadParameter(f"{name} is no name of a class", param_hint="--class")
    if not shown:
        _require_free(path, force=force, verb="draft")
    say = told(json_wanted or shown)
    project = toml.load(addresses=False)
    known = _known(project, document, log, recorded, say)
    if not known.tables:
        known = replace(known, tables=_tables(project, database, say))
    plan = planning.plan(known, project)
    if not plan.steps:
        raise ConfigurationError(
            f"none of its {counted(len(known.requests), 'request')} belongs to a route of a capability, or none can be "
            "made: " + ("; ".join(plan.questions[:3]) or "nothing is known"),
            place=known.source, remedy="compare its paths with the routes in strangler.toml", id="traffic-source",
        )  # fmt: skip
    text = writing.text(plan, project=project.name, name=name)
    compile(text, str(path), "exec")
    if shown and not json_wanted:
        click.echo(text, nl=False)
        return
    if not shown:
        write_whole(path, text, force=force, folders=True)
    _tell(plan, project, Drafted(path, name, text, shown), say, json_wanted=json_wanted)


def _known(
    project: Project, document: Path | None, log: Path | None, recorded: Path | None, say: Callable[[str], None]
) -> Known:
    """What the source has; a log without bodies is completed by the OpenAPI file."""
    if log and recorded:
        raise click.UsageError("--log and --recording are two sources: name one")
    if recorded:
        known = recording.read(recorded, say=say)
    elif log:
        known = accesslog.read(log, project, say=say)
    elif document:
        return openapi.read(document, say=say)
    else:
        raise click.UsageError("name a source: --openapi FILE, --log FILE, or --recording FILE")
    return merging.merge(known, openapi.read(document, say=say)) if document else known


def _tables(project: Project, database: str | None, say: Callable[[str], None]) -> dict[str, Shape]:
    """The tables that move; none where no database can be asked."""
    wanted = {table for each in project.capabilities.values() for table in each.tables}
    if database:
        if wrong := dsn.flaw(database):
            raise ConfigurationError(wrong[0], place="--database", remedy=wrong[1])
        return columns.read(database, wanted)
    try:
        there = toml.load()
        address = state.endpoints_of_databases(there, [there.ledger]).databases[there.ledger]
        return columns.read(address, wanted)
    except StranglerError as error:
        say(f"  no database was asked ({error.message}): what each write leaves is left to you")
        return {}


def _require_free(path: Path, *, force: bool, verb: str) -> None:
    if path.exists() and not force:
        raise RefusedError(
            "is there already, and was not changed",
            place=str(path),
            remedy=f"name another file with --to, or run `strangler traffic {verb} --force …` to write over it",
            id="file-exists",
        )


def _scenario(path: Path, project: Project, name: str) -> str:
    """How strangler.toml names the scenario: modules are found from its folder."""
    folder = project.path.parent.resolve()
    whole = path.resolve()
    inside = whole.relative_to(folder) if whole.is_relative_to(folder) else Path(whole.name)
    return f"{'.'.join(inside.with_suffix('').parts)}:{name}"


def _tell(plan: Plan, project: Project, file: Drafted, say: Callable[[str], None], *, json_wanted: bool) -> None:
    for capability in project.capabilities:
        asked = [step for step in plan.steps if step.request.capability == capability]
        checked = sum(step.checked for step in asked)
        say(f"  {capability}: {counted(len(asked), 'request')}, {counted(checked, 'write')} that can be seen")
    needed = Variables(plan, project.name).told
    for variable, what in needed.items():
        say(f"  {variable}: {what}")
    scenario = _scenario(file.path, project, file.name)
    next = ["strangler rehearse --self-test"]
    questions = [*plan.questions, *(f"{step.name}: {each}" for step in plan.steps for each in step.remarks)]
    left = [f"{each.name}: {each.question}" for each in plan.decisions]
    for each in left:
        say(f"  to decide: {each}")
    if not file.shown:
        say(
            f"wrote {file.path}: {counted(len(file.text.splitlines()), 'line')}, "
            f"{counted(len(questions), 'question')}, {counted(len(left), 'decision')}\n"
            f"  next: {'decide, ' * bool(left)}answer its questions (# ?), write "
            f'[traffic] scenario = "{scenario}" into {project.path.name}, then {next[0]}'
        )
    if json_wanted:
        document = {
            "verb": "traffic draft",
            "file": None if file.shown else str(file.path),
            "scenario": scenario,
            "source": plan.known.source,
            "requests": [
                {
                    "request": str(step.request), "name": step.name, "capability": step.request.capability,
                    "expected": list(step.request.expected), "tables": sorted({one.table for one in step.leaves}),
                }
                for step in (*plan.steps, *filter(None, (plan.account.register, plan.account.login, plan.farewell)))
            ],
            "questions": questions,
            "decisions": left,
            "environment": needed,
            "left_out": plan.left_out,
            **({"text": file.text} if file.shown else {}),
        }  # fmt: skip
        click.echo(as_json(document, next=next))
