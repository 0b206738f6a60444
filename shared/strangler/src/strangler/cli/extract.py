"""``strangler extract``: a service, written from the code of a capability."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path

import click

from strangler.adapters import toml
from strangler.cli.console import as_json, told
from strangler.cli.init import Origin
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Capability, Project
from strangler.domain.words import counted
from strangler.extract import entries, extraction, worklist
from strangler.extract.extraction import Asked, Drafted, Extracted
from strangler.extract.frame.surroundings import ASKED_AT
from strangler.extract.source import draft_source
from strangler.extract.worklist import WorkList
from strangler.init import asking
from strangler.init.described import Described

EPILOG = """\b
Examples:
  strangler extract billing --to services/billing
  strangler extract billing --to services/billing --relations numbers
  strangler extract billing --to services/billing --dry-run

Writes the folder, and what strangler.toml lacks of the service; changes nothing else. The folder must be new or empty,
or written by an earlier run: then what you have changed in it stays. Exit code 1 if Django is not content with the
service: nothing was written.
"""


@click.command(epilog=EPILOG)
@click.argument("capability")
@click.option("--to", "target", metavar="FOLDER", required=True, type=click.Path(path_type=Path),
              help="The folder of the service.")  # fmt: skip
@click.option(
    "--relations", type=click.Choice(["keys", "numbers"]), default="keys", show_default=True,
    help="What becomes of relations to what does not move: foreign keys without a constraint, or plain numbers in the "
    "same columns.",
)  # fmt: skip
@click.option("--manage", type=click.Path(exists=True, path_type=Path, dir_okay=False), help="The project's manage.py.")
@click.option(
    "--python", type=click.Path(exists=True, path_type=Path, dir_okay=False),
    help="The interpreter of an environment that has the project's packages and the chassis. Without it: the one that "
    "strangler.toml names, .venv, venv or env beside manage.py, or the active environment.",
)  # fmt: skip
@click.option(
    "--from", "source", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="What `manage.py strangler_init` has printed elsewhere, as in a container; - is stdin.",
)  # fmt: skip
@click.option("--dry-run", "--print", "shown", is_flag=True, help="Write nothing; print the work list.")
@click.option(
    "--unchecked", is_flag=True, help="Write it even if Django is not content with it; the work list says why."
)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
def command(
    *,
    capability: str,
    target: Path,
    relations: extraction.Relations,
    manage: Path | None,
    python: Path | None,
    source: Path | None,
    shown: bool,
    unchecked: bool,
    json_wanted: bool,
) -> None:
    """Writes a service for a capability: its code out of the Django project, settings, URLs, migrations, an image.

    What a person has to decide stands in EXTRACT.md there, with its place in the project.
    """
    say = told(json_wanted or shown)
    path = Path(os.environ.get("STRANGLER_CONFIG") or toml.FILE_NAME)
    path = path.parent.resolve() / path.name
    target = target.parent.resolve() / target.name
    project = entries.load(path, capability, target)
    chosen = _capability(project, capability)
    origin = Origin(manage or _manage(project), python or _python(project), source, None, path.parent)
    described = origin.described(say)
    root = (origin.manage or asking.find_manage(path.parent)).resolve().parent
    interpreter = origin.python or asking.find_python(root / "manage.py", path.parent) or Path(sys.executable)
    _require(described, chosen, target, root)
    monolith = project.processes[project.monolith]
    asked = Asked(
        described,
        chosen,
        root,
        path,
        target,
        interpreter.absolute(),
        relations,
        unchecked,
        monolith.address_variable or ASKED_AT,
    )
    drafted = extraction.draft(asked, draft_source, lambda what: say(f"  {what}"))
    if shown:
        _show(drafted, json_wanted=json_wanted)
        return
    done = extraction.write(drafted, lambda what: say(f"  {what}"))
    _tell(done, asked, say)
    if json_wanted:
        click.echo(_document(done.work, asked, added=done.added, kept=[str(one) for one in done.kept], written=True))


def _capability(project: Project, name: str) -> Capability:
    found = project.capabilities.get(name)
    if found is not None:
        return found
    names = ", ".join(sorted(project.capabilities)) or "none: let `strangler init` write some"
    near = get_close_matches(name, project.capabilities, n=1)
    raise ConfigurationError(
        f"has no capability {name}" + (f"; did you mean {near[0]}?" if near else ""),
        place=project.path.name,
        remedy=f"choose from: {names}",
        id="unknown-name",
    )


def _manage(project: Project) -> Path | None:
    """The manage.py of the process that is the monolith."""
    folder = project.processes[project.monolith].directory
    return folder / "manage.py" if folder and (folder / "manage.py").is_file() else None


def _python(project: Project) -> Path | None:
    found = project.processes[project.monolith].python
    return found if found and found.is_file() else None


def _require(described: Described, capability: Capability, target: Path, root: Path) -> None:
    """Raises ConfigurationError where nothing can be extracted."""
    if not described.settings_module and not described.settings:
        raise ConfigurationError(
            "the description says nothing of the project's settings", place="--from",
            remedy="let the chassis of the same version as this tool describe the project: `manage.py strangler_init`",
        )  # fmt: skip
    if not any(described.table(table) for table in capability.tables):
        raise ConfigurationError(
            f"no model of the project has a table of {capability.name}",
            place=f"capabilities.{capability.name}.tables",
            remedy="see what the project has: `strangler init --check`",
            id="unknown-name",
        )
    if root.is_relative_to(target) or target.is_relative_to(root / ".git"):
        raise ConfigurationError(
            "holds the project itself", place=str(target), remedy="name another folder by --to", id="target-not-empty"
        )


def _show(drafted: Drafted, *, json_wanted: bool) -> None:
    work = drafted.work()
    if json_wanted:
        click.echo(_document(work, drafted.asked, added=(), kept=(), written=False))
        return
    for file in sorted(map(str, drafted.draft.files)):
        click.echo(f"{drafted.asked.target / file}")
    click.echo("")
    click.echo(worklist.as_page(work), nl=False)


def _tell(done: Extracted, asked: Asked, say: Callable[[str], None]) -> None:
    work, measures = done.work, done.work.measures
    say(f"wrote {asked.target}: {counted(done.files, 'file')}")
    say(
        f"  lines of Python: {measures.taken:,} taken ({measures.changed:,} rewritten), {measures.written:,} written "
        f"for ports, {measures.frame:,} for settings, URLs and programs"
    )
    left = ", ".join(f"{kind} {count}" for kind, count in work.left_by_kind().items())
    say(f"  left to decide: {len(work.left)}" + (f" ({left})" if left else ""))
    if done.kept:
        say(f"  kept as you have changed them: {', '.join(map(str, done.kept))}")
    if done.added:
        say(f"  added to {asked.file.name}: {', '.join(f'[{one}]' for one in done.added)}")
    if done.elsewhere:
        say(f"  {asked.file.name} has this service in {done.elsewhere}: change `directory` there if this one is to run")
    say(f"  next: {', '.join(_next(work, asked))}")


def _next(work: WorkList, asked: Asked) -> list[str]:
    page = [f"decide what {asked.target.name}/{worklist.PAGE} names"] if work.left else []
    return [*page, f"strangler preflight {asked.capability.name}"]


def _document(work: WorkList, asked: Asked, *, added: tuple[str, ...], kept: object, written: bool) -> str:
    found: Mapping[str, object] = worklist.document(work)
    return as_json(
        {
            "verb": "extract",
            **{key: found[key] for key in ("capability", "relations", "lines", "left", "decisions")},
            "folder": str(asked.target),
            "written": written,
            "kept": kept,
            "added": list(added),
        },
        ready=not work.left,
        next=[f"strangler preflight {asked.capability.name}"],
    )
