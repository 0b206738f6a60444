"""Drafts the frame around the taken code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from strangler.domain.project import Capability
from strangler.extract.draft import Decision, Draft, Kind, Source
from strangler.extract.frame import addresses, migrations, packaging, programs, settings
from strangler.extract.frame.access import access
from strangler.extract.frame.installed import ADMIN, installed
from strangler.extract.frame.surroundings import ASKED_AT, Surroundings
from strangler.extract.history import planning
from strangler.extract.history.planning import Carried
from strangler.init.described import Described

# Folders of such files are copied where a setting names them; others are media, or made by a program.
_COPIED = (".json", ".html", ".txt", ".po", ".yaml", ".yml", ".css", ".js")
_LARGEST = 200_000


@dataclass(frozen=True, slots=True)
class Frame(Draft):
    """The frame half. ``carried`` is written once Django has made the migrations of the models."""

    carried: tuple[Carried, ...] = ()


def draft_frame(
    described: Described,
    capability: Capability,
    source: Source,
    *,
    root: Path,
    base: Path,
    target: Path,
    asked_at: str = ASKED_AT,
) -> Frame:
    """The files of the frame, and what a person has to decide about them.

    ``root`` is the folder of the project's manage.py, ``base`` that of strangler.toml, ``target`` where the service
    will be; ``asked_at`` is the variable with the monolith's address. Nothing is written.
    """
    here = Surroundings(described, source, capability, root, capability.process, asked_at)
    ways = access(here)
    found = installed(here, ways)
    written = settings.settings(here, found, ways)
    urls, of_urls = addresses.addresses(here, admin=ADMIN in found.modules)
    started, of_programs = programs.programs(here)
    history = planning.plan(described, capability, source, root)
    extensions, of_extensions = migrations.extensions(here, history.before)
    packages, of_packages = packaging.packaging(here, found, ways, base=base, target=target)
    folder = PurePosixPath(here.package)
    files = {
        **started,
        folder / "settings.py": settings.as_text(here, written),
        folder / "urls.py": urls,
        **{path: text for path, text in extensions.items() if path not in source.files},
        **packages,
        **{path: text for path, text in _named_folders(here, written) if path not in source.files},
    }
    decisions = [*ways.decisions, *found.decisions, *written.decisions, *of_urls, *of_programs]
    decisions += [*history.decisions, *of_extensions, *of_packages, *_folders_left(here, written, files)]
    return Frame(files, tuple(dict.fromkeys(decisions)), history.carried)


def _named_folders(here: Surroundings, written: settings.Written) -> Iterator[tuple[PurePosixPath, str]]:
    """Small text files in folders that a setting of the service names, such as those of contracts."""
    for name, path in written.paths:
        if name == "TEMPLATES" or not path:
            continue
        folder = here.root / path
        for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if file.suffix in _COPIED and file.stat().st_size <= _LARGEST:
                yield PurePosixPath(file.relative_to(here.root).as_posix()), file.read_text(encoding="utf-8")


def _folders_left(here: Surroundings, written: settings.Written, files: dict[PurePosixPath, str]) -> Iterator[Decision]:
    present = {*files, *here.source.files}
    for name, path in dict.fromkeys(written.paths):
        if path and not any(one.is_relative_to(path) for one in present):
            setting = here.described.setting(name)
            yield Decision(
                setting.place if setting else "",
                Kind.FILE,
                f"{name} names {path}, of which nothing came along",
                f"copy what the service needs of it, or change {name} in {here.package}/settings.py",
                open=False,
            )
