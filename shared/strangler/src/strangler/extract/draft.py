"""What the halves of an extraction hand on: files, and what a person has to decide about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath


class Kind(StrEnum):
    """What a decision is about."""

    REFERENCE = "reference"  # a relation to what does not move
    IMPORT = "import"  # an import which was cut, taken along or made a port
    QUERY = "query"  # a query across the seam
    SIGNAL = "signal"
    CASCADE = "cascade"
    SETTING = "setting"
    ROUTE = "route"
    ACCESS = "access"  # who may do what: authentication, permissions, groups
    FILE = "file"  # templates, media, static files, fixtures, commands
    CACHE = "cache"


@dataclass(frozen=True, slots=True, order=True)
class Decision:
    """One line of the work list. ``place`` is `file:line` in the project that was read, ``target`` the same in the
    service. ``open``: the service does not do its work before a person has decided."""

    place: str
    kind: Kind
    says: str
    remedy: str
    open: bool = True
    target: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """Files by their path in the service's folder, and the work list."""

    files: Mapping[PurePosixPath, str] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class TakenApp:
    """An app of which models, or code, come along. ``module`` is its package, the same in the service."""

    label: str
    module: str
    config: str = ""  # dotted path of its AppConfig, if it has one of its own
    models: tuple[str, ...] = ()  # names of the model classes that come along
    moved: bool = True  # its tables belong to the capability; otherwise only code of it is taken along
    own: bool = True  # its code is in the service; otherwise an installed package has it


@dataclass(frozen=True, slots=True)
class TakenRoute:
    """A URL pattern of the capability: the path as the project spells it, and the view's dotted name in the service."""

    path: str  # as in the project's description, such as /api/invoices/{id}/void
    view: str
    name: str = ""
    converters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source(Draft):
    """The source half. Lines are those of Python files, blank ones and comments among them. ``copies`` are files that
    no text holds, such as pictures: by their path in the service the file of the project, to be copied as it is."""

    apps: tuple[TakenApp, ...] = ()
    routes: tuple[TakenRoute, ...] = ()
    packages: tuple[str, ...] = ()  # distributions that the taken code imports
    settings: tuple[str, ...] = ()  # names that the taken code reads from django.conf.settings
    copies: Mapping[PurePosixPath, Path] = field(default_factory=dict)
    loose: tuple[str, ...] = ()  # relations of packages to what stays, as app.Model.field
    read: Mapping[str, str] = field(default_factory=dict)  # texts of packages' modules that answer, by name
    named: frozenset[str] = frozenset()  # names of URLs in the packages' texts
    libraries: Mapping[str, str] = field(default_factory=dict)  # of template tags, by name the module
    not_taken: Mapping[str, str] = field(default_factory=dict)  # what settings name and is not here, with why
    lines_taken: int = 0  # as they were
    lines_changed: int = 0  # taken, and rewritten
    lines_written: int = 0  # ports and adapters


def join(drafts: Iterable[Draft]) -> Draft:
    """All files and decisions.

    Raises:
        ValueError: two of them write the same file.
    """
    files: dict[PurePosixPath, str] = {}
    decisions: list[Decision] = []
    for draft in drafts:
        if twice := files.keys() & draft.files.keys():
            raise ValueError(f"written twice: {', '.join(sorted(map(str, twice)))}")
        files.update(draft.files)
        decisions += draft.decisions
    return Draft(files, tuple(sorted(decisions)))
