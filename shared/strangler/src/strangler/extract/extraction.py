"""The whole of an extraction: both halves drafted, compared with what is there, staged, checked, and put in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from strangler.domain.errors import MoveError
from strangler.domain.project import Capability
from strangler.extract import entries, rerun, staging, worklist
from strangler.extract.draft import Decision, Draft, Kind, Source, join
from strangler.extract.frame import settings
from strangler.extract.frame.drafting import draft_frame
from strangler.extract.frame.surroundings import ASKED_AT
from strangler.extract.history.placing import Placing
from strangler.extract.history.planning import Carried
from strangler.extract.worklist import Measures, WorkList
from strangler.init.described import Described

Relations = Literal["keys", "numbers"]
# What the settings of a service read that nobody has to think up.
SECRETS = ("SECRET_KEY", "IDENTITY_SECRET", "SERVICE_KEY_FILE")


class SourceHalf(Protocol):
    """Takes the code of a capability out of the project's folder."""

    def __call__(
        self,
        project: Described,
        capability: Capability,
        root: Path,
        *,
        relations: Relations,
        tell: Callable[[str], None],
    ) -> Source: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person has asked for. ``root`` is the folder of the project's manage.py, ``file`` strangler.toml;
    ``asked_at`` is the variable with the address of the monolith."""

    described: Described
    capability: Capability
    root: Path
    file: Path
    target: Path
    python: Path
    relations: Relations = "keys"
    unchecked: bool = False
    asked_at: str = ASKED_AT


@dataclass(frozen=True, slots=True)
class Drafted:
    """Both halves, before anything is written."""

    asked: Asked
    source: Source
    draft: Draft
    record: rerun.Record | None
    measures: Measures
    carried: tuple[Carried, ...] = ()

    def work(self, more: tuple[Decision, ...] = (), page: str = "") -> WorkList:
        """The work list; ``page`` is the one of the last run."""
        found = worklist.entries([*self.draft.decisions, *more], worklist.ticked(page))
        capability = self.asked.capability.name
        return WorkList(capability, found, self.measures, self.asked.relations, worklist.notes(page))


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was done: the work list, what was added to strangler.toml, and files of a person's which were kept."""

    work: WorkList
    added: tuple[str, ...]
    elsewhere: str
    kept: tuple[PurePosixPath, ...]
    files: int


def draft(asked: Asked, half: SourceHalf, tell: Callable[[str], None]) -> Drafted:
    """Drafts both halves. What an earlier run has left behind, which was killed, is put right first.

    Raises:
        RefusedError: the target holds something else.
    """
    staging.recover(asked.target)
    record = rerun.read(asked.target, asked.capability.name)
    source = half(asked.described, asked.capability, asked.root, relations=asked.relations, tell=tell)
    tell("settings, URLs and programs")
    frame = draft_frame(
        asked.described,
        asked.capability,
        source,
        root=asked.root,
        base=asked.file.parent,
        target=asked.target,
        asked_at=asked.asked_at,
    )
    whole = join([source, frame])
    lines = sum(len(text.splitlines()) for path, text in frame.files.items() if path.suffix == ".py")
    measures = Measures(source.lines_taken, source.lines_changed, source.lines_written, lines)
    return Drafted(asked, source, whole, record, measures, frame.carried)


def write(drafted: Drafted, tell: Callable[[str], None]) -> Extracted:
    """Writes the service, whole or not at all, and completes strangler.toml.

    Raises:
        MoveError: Django is not content with the service; nothing was written.
        ConfigurationError: it cannot be written, or strangler.toml would not be accepted.
    """
    asked = drafted.asked
    merged = rerun.merge(asked.target, drafted.record, drafted.draft.files, drafted.source.copies)
    kept = rerun.changed(asked.target, drafted.record, drafted.source.copies)
    with staging.stage(asked.target) as folder:
        staging.write(folder, merged.files, merged.removed)
        staging.copy(folder, {path: file for path, file in drafted.source.copies.items() if path not in kept})
        failed = _checked(drafted, folder, tell)
        page = _page(folder)
        completed = entries.complete(asked.file, asked.capability.name, asked.target, _programs(drafted))
        work = drafted.work((*merged.decisions, *failed, *_other_program(asked, completed)), page)
        staging.write(folder, {**_lists(work), PurePosixPath(rerun.RECORD): _record(drafted).as_text()})
        with entries.accepted(asked.file, completed):
            staging.take_place(folder, asked.target)
    return Extracted(
        work,
        completed.added,
        completed.elsewhere,
        (*merged.kept, *kept),
        len(drafted.draft.files) + len(drafted.source.copies),
    )


def _checked(drafted: Drafted, folder: Path, tell: Callable[[str], None]) -> tuple[Decision, ...]:
    asked = drafted.asked
    code = next((text for path, text in drafted.draft.files.items() if path.name == "settings.py"), "")
    names = settings.variables(code)
    django = staging.Django(folder, asked.python, root=asked.root, variables=names)
    labels = [app.label for app in drafted.source.apps if app.own and (app.models or app.moved)]
    modules = {app.label: app.module for app in drafted.source.apps if app.own and app.moved}
    had = {*folder.rglob("migrations/*.py")}
    try:
        tell("migrations and checks")
        django.make_migrations(labels)
        placing = Placing(folder, modules, sorted({*folder.rglob("migrations/*.py")} - had))
        placing.place(drafted.carried)
        if placing.written:
            # What the models have become since the SQL made their tables.
            django.make_migrations(labels)
        return tuple(placing.decisions)
    except MoveError as error:
        if not asked.unchecked:
            raise
        said = error.message.replace("; nothing was written", "")
        return (Decision("", Kind.FILE, said, "mend it, and run extract again", target=error.place),)


def _other_program(asked: Asked, completed: entries.Completed) -> tuple[Decision, ...]:
    if not completed.starts or completed.elsewhere:
        return ()
    return (
        Decision(
            "",
            Kind.FILE,
            f"{asked.file.name} starts {completed.starts} in the service, which has its settings in another package",
            f"change the command of [processes.{asked.capability.process}]",
        ),
    )


def _page(folder: Path) -> str:
    path = folder / worklist.PAGE
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _lists(work: WorkList) -> Mapping[PurePosixPath, str]:
    return {
        PurePosixPath(worklist.PAGE): worklist.as_page(work),
        PurePosixPath(worklist.DATA): worklist.as_data(work),
    }


def _record(drafted: Drafted) -> rerun.Record:
    files = {str(path): rerun.digest(text) for path, text in drafted.draft.files.items()}
    files |= {str(path): rerun.digest_of(file) for path, file in drafted.source.copies.items()}
    return rerun.Record(drafted.asked.capability.name, drafted.asked.relations, version("strangler"), files)


def _programs(drafted: Drafted) -> entries.Programs:
    paths = {str(path): text for path, text in drafted.draft.files.items()}
    package = next(path.rpartition("/")[0] for path in paths if path.endswith("/settings.py"))
    return entries.Programs(
        package=package,
        asgi=f"{package}/wsgi.py" not in paths,
        secrets=tuple(name for name in SECRETS if name in settings.variables(paths[f"{package}/settings.py"])),
        worker=f"{package}/celery.py" in paths,
        schedule="beat_schedule" in paths.get(f"{package}/celery.py", ""),
        outbox="relay" in paths.get("k8s/kustomization.yaml", ""),
    )
