"""Looks at everything, in one go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from django.conf import settings
from django.urls import get_resolver

from chassis.inspection import (
    admins,
    background,
    configuration,
    files,
    hearers,
    outside,
    readers,
    relations,
    settled,
    surroundings,
    templates,
    urls,
    views,
)
from chassis.inspection.configuration import Capability, Configuration, ConfigurationError
from chassis.inspection.findings import Finding, Report
from chassis.inspection.project import Project, models, staying
from chassis.inspection.reading import Reader

# What each looks at, as people are told of it.
_LOOKS: Mapping[str, Callable[[Project], Iterator[Finding]]] = {
    "the databases": surroundings.databases,
    "middleware": surroundings.middleware,
    "context processors and authentication": surroundings.around,
    "views and routes": views.findings,
    "the admin": admins.findings,
    "commands": background.commands,
    "tasks": background.tasks,
    "handlers": background.handlers,
    "handlers of the log": background.log,
    "receivers of signals": hearers.findings,
    "cascades and numbers": relations.findings,
    "files": files.findings,
    "templates": templates.findings,
    "what moves and touches what stays": outside.findings,
    "what reads the copy": readers.findings,  # the last: the others keep what they have met
}
_SHOWN = 20


def look(
    names: Sequence[str] = (),
    path: Path | None = None,
    *,
    dropping: bool = False,
    tell: Callable[[str], None] = lambda what: None,
) -> Report:
    """What is found for the capabilities of these names; without names, for all whose models this project has.

    ``dropping``: the tables here are to be dropped next, so that what only reads them fails, too. ``tell`` is called
    with what is looked at next.

    Raises ConfigurationError where nothing can be looked at.
    """
    known = configuration.load(path)
    _need_database()
    reasons = settled.reasons()
    chosen, strangers = _present(known, names)
    reader = Reader(_tables(chosen).__contains__)
    project = Project(known, chosen, reader, staying=staying(known), dropping=dropping)
    project.not_looked_at += strangers
    project.addresses = _addresses(project)
    project.count("capabilities", len(chosen))
    project.count("models", len(models()))
    report = Report(follows="strangler complete CAPABILITY --drop" if dropping else "strangler start CAPABILITY")
    for what, each in _LOOKS.items():
        tell(what)
        report.add(_found(each, project))
    project.count("functions", reader.functions)
    settled.apply(report, reasons, whole=not names)
    report.looked_at = dict(sorted(project.looked_at.items()))
    report.not_looked_at = [*project.not_looked_at, *_unknown(project)]
    return report


def _found(each: Callable[[Project], Iterator[Finding]], project: Project) -> Iterator[Finding]:
    """What one look finds. Where it meets code that it cannot read, that is a finding too, for it may hide others."""
    try:
        yield from each(project)
    except Exception as error:
        if os.environ.get("STRANGLER_DEBUG"):
            raise
        yield Finding(
            "cannot-look", "error", each.__module__,
            f"this part of the look ended with {type(error).__name__}: {error}. What it has not seen may be wrong.",
            "run it with STRANGLER_DEBUG=1 and report the traceback, with the code that it names",
        )  # fmt: skip


def _need_database() -> None:
    engine = settings.DATABASES.get("default", {}).get("ENGINE", "")
    if not engine or engine == "django.db.backends.dummy":
        raise ConfigurationError(
            "settings.DATABASES", "the project has no default database", "run this in a project that has the tables"
        )


def _present(known: Configuration, names: Sequence[str]) -> tuple[list[Capability], list[str]]:
    """The capabilities to look at. One that is named must have models here; others without any are left out."""
    here = {configuration.plain(model._meta.db_table) for model in models()}
    found, strangers = [], []
    for capability in known.chosen(names):
        missing = sorted(capability.tables - here)
        if len(missing) < len(capability.tables):
            found.append(capability)
            strangers += [f"{capability.name}: no model has the table {table}" for table in missing]
        elif names:
            raise ConfigurationError(
                f"{known.path.name}, [capabilities.{capability.name}] tables",
                "no model of this project has one of them",
                "run this in the monolith, or in the capability's service",
            )
        else:
            strangers.append(f"{capability.name}: this project has none of its models")
    if not found:
        raise ConfigurationError(
            known.path.name, "no model of this project has a table that moves", "run this in the monolith"
        )
    return found, strangers


def _tables(chosen: Sequence[Capability]) -> Set[str]:
    """The tables of models, as they and as SQL spell them, and those that move though no model has them."""
    spelled = {model._meta.db_table for model in models()}
    return {*spelled, *map(configuration.plain, spelled), *(table for each in chosen for table in each.tables)}


def _addresses(project: Project) -> list[urls.Address]:
    try:
        get_resolver().url_patterns  # noqa: B018
        return list(urls.addresses(project.not_looked_at))
    except Exception as error:
        raise ConfigurationError(
            f"settings.ROOT_URLCONF ({settings.ROOT_URLCONF})",
            f"cannot be imported: {type(error).__name__}: {error}",
            "run `manage.py check`, and mend what it says",
        ) from error


def _unknown(project: Project) -> Iterator[str]:
    """What reading the source could not tell."""
    reader = project.reader
    led = project.led - project.elsewhere - project.told
    left = sorted(reader.blind - project.told - led, key=lambda one: (one.place, one.call))
    for one in left[:_SHOWN]:
        yield f"{one.place}: {one.call} of an object whose class is not known"
    if len(left) > _SHOWN:
        yield f"{len(left) - _SHOWN} more calls of save() and the like on objects whose class is not known"
    why = "of an object whose class is not known, reached by routes of what moves alone"
    yield from _several({one.place for one in led}, "call of save() or the like", "calls of save() or the like", why)
    why = "in installed packages, of an object whose class is not known"
    yield from _several(reader.blind_elsewhere, "call of save() or the like", "calls of save() or the like", why)
    yield from _several(reader.dynamic, "call by a name", "calls by names", "made at run time")
    yield from _several(reader.unknown_sql, "SQL statement", "SQL statements", "made at run time")
    yield from _several(reader.unreadable, "function", "functions", "without a source")
    yield "what templates read but by the names of relations; and what others read, such as reports and backups"
    if reader.cut:
        yield f"calls that lie too deep: {reader.cut}"


def _several(places: Set[str], one: str, many: str, why: str) -> Iterator[str]:
    if places:
        number = f"{len(places)} {one if len(places) == 1 else many} {why}"
        yield f"{number}: {', '.join(sorted(places)[:5])}" + (", …" if len(places) > 5 else "")
