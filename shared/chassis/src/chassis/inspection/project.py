"""The running project, as all who look at it share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from django.apps import AppConfig, apps
from django.db.models import Model

from chassis.inspection import sources
from chassis.inspection.configuration import Capability, Configuration
from chassis.inspection.findings import Confidence, Finding, Severity
from chassis.inspection.reading import Access, Blind, Reader, Summary
from chassis.inspection.urls import Address

_ON_EACH_SIDE = {"chassis", "contenttypes", "sessions"}


@dataclass(slots=True)
class Project:
    """What moves, and what the project consists of."""

    configuration: Configuration
    capabilities: Sequence[Capability]
    reader: Reader
    addresses: Sequence[Address] = ()
    looked_at: dict[str, int] = field(default_factory=dict)
    not_looked_at: list[str] = field(default_factory=list)
    # Of the calls whose object is not known: those that are findings, and those that requests to routes of what moves
    # reach, which are led to the owner.
    told: set[Blind] = field(default_factory=set)
    led: set[Blind] = field(default_factory=set)
    elsewhere: set[Blind] = field(default_factory=set)  # reached by something else than a view
    readings: list[Reading] = field(default_factory=list)
    outside: list[Outside] = field(default_factory=list)
    staying: Set[str] = frozenset()  # tables that no capability takes along
    dropping: bool = False  # whether the tables here are to be dropped

    def capability_of(self, model: type[Model]) -> Capability | None:
        """The capability, of those that are looked at, that the model's own table moves with."""
        return self.holder(model._meta.db_table)

    def holder(self, table: str) -> Capability | None:
        """The capability, of those that are looked at, that the table moves with."""
        return next((each for each in self.capabilities if each.holds(table)), None)

    def count(self, what: str, number: int = 1) -> None:
        """Notes that so many of them were looked at."""
        self.looked_at[what] = self.looked_at.get(what, 0) + number


def models() -> list[type[Model]]:
    """All models with a table of their own, also those that Django has made for relations."""
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy and not model._meta.swapped
    ]


def staying(configuration: Configuration) -> Set[str]:
    """The tables of models that no capability takes along, but those of which each side has its own."""
    return {
        model._meta.db_table
        for model in models()
        if configuration.owner(model._meta.db_table) is None and model._meta.app_label not in _ON_EACH_SIDE
    }


def moved(project: Project) -> Iterator[tuple[type[Model], Capability]]:
    """The models whose tables move, with their capability."""
    for model in models():
        if (capability := project.capability_of(model)) is not None:
            yield model, capability


def apps_that_write(project: Project) -> list[AppConfig]:
    """The apps that the project has not installed from elsewhere, and those whose models move, wherever they are."""
    moving = {model._meta.app_config for model, _ in moved(project)}
    return [config for config in apps.get_app_configs() if config in moving or sources.is_own(_file(config))]


def _file(config: AppConfig) -> str:
    return str(getattr(config.module, "__file__", None) or config.path + "/__init__.py")


@dataclass(frozen=True, slots=True)
class Concern:
    """A write or a read that concerns a capability, with the way to it."""

    capability: Capability
    access: Access
    via: tuple[str, ...]
    reason: str | None = None  # what a person has written beside it


@dataclass(frozen=True, slots=True)
class Group:
    """The writes of a capability's tables in one function, which are told together."""

    capability: Capability
    concerns: tuple[Concern, ...]
    whole: bool = False  # all that is done by one entry, in several functions

    def place(self, entry: Any) -> str:
        """Where the first of them is; where ``entry`` is written, if they are all that it does or not its own."""
        first = min(self.concerns, key=lambda concern: concern.access.line)
        return sources.place(entry) if self.whole else first.access.place or sources.place(entry)

    @property
    def done(self) -> str:
        """What is written, and how, after a word such as *writes*."""
        tables = list(dict.fromkeys(concern.access.table for concern in self.concerns))
        ways = list(dict.fromkeys(concern.access.how for concern in self.concerns))
        places = list(dict.fromkeys(concern.access.place for concern in self.concerns if concern.access.place))
        if self.whole and places:
            return f"{listed(tables)} by {listed(ways)} (at {listed(places)})"
        return f"{listed(tables)} by {listed(ways)}{_way(self.concerns[0])}"

    @property
    def reason(self) -> str | None:
        """Why that is no fault, where a person has written it."""
        return self.concerns[0].reason

    @property
    def confidence(self) -> Confidence:
        """Whether one of the writes is what it looks like."""
        return "certain" if any(concern.access.sure for concern in self.concerns) else "likely"


@dataclass(frozen=True, slots=True)
class Reading:
    """A read of a table that moves by something that stays. ``what`` says who reads it, ``key`` is what is told as one.

    ``asked``: the URL pattern and the method, if it is a request. ``leaving``: the other capability that takes it along
    when it moves.
    """

    what: str
    entry: Any
    key: object
    concern: Concern
    asked: tuple[Address, str] | None = None
    leaving: str | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """What a request of a capability's routes does with a table that no capability takes along."""

    address: Address
    method: str
    concern: Concern
    writes: bool


def outside(project: Project, summary: Summary, address: Address, method: str, capability: Capability) -> None:
    """Keeps for the end what a request does there that belongs to the capability."""
    for accesses, writes in ((summary.writes, True), (summary.reads, False)):
        for access, via in accesses.items():
            if access.table in project.staying:
                reason = sources.reason(access.file, access.line, access.around) if access.file else None
                concern = Concern(capability, access, via, reason)
                project.outside.append(Outside(address, method, concern, writes))


def concerns(
    project: Project, accesses: Mapping[Access, tuple[str, ...]], *, inside: Callable[[Capability], bool]
) -> Iterator[Concern]:
    """Those that concern tables that move, but not capabilities for which the code may do so (``inside``)."""
    for access, via in accesses.items():
        capability = project.holder(access.table)
        if capability is not None and not _is_under(access, capability) and not inside(capability):
            reason = sources.reason(access.file, access.line, access.around) if access.file else None
            yield Concern(capability, access, via, reason)


def readings(
    project: Project, summary: Summary, entry: Any, *, inside: Callable[[Capability], bool]
) -> Iterator[Concern]:
    """The reads of something that does not write the same capability as well, for then that is what has to be told."""
    written = list(concerns(project, summary.writes, inside=inside))
    refused = {one.capability.name for one in written if one.reason is None}
    explained = {(one.access.file, one.access.around) for one in written}
    for one in concerns(project, summary.reads, inside=inside):
        if one.capability.name not in refused and (one.access.file, one.access.around) not in explained:
            # What only code of others does is explained where it is called from.
            reason = one.reason if one.access.file else sources.reason(*sources.line_of(entry))
            yield replace(one, reason=reason)


def together(found: Iterable[Concern]) -> list[Group]:
    """The writes by the function that they stand in."""
    groups: dict[tuple[str, str, int, str | None], list[Concern]] = {}
    for one in found:
        groups.setdefault((one.capability.name, one.access.file, one.access.around, one.reason), []).append(one)
    return [Group(members[0].capability, tuple(members)) for members in groups.values()]


def groups(
    project: Project,
    summary: Summary,
    *,
    inside: Callable[[Capability], bool],
    what: str,
    entry: Any,
    key: object = None,
    leaving: str | None = None,
) -> list[Group]:
    """The writes of an entry as a whole: by capability, and apart what has been explained.

    Its reads are kept for the end. ``what`` names it there, ``key`` those that are told as one; ``leaving`` is the
    capability that takes it along.
    """
    project.elsewhere |= summary.blind
    for one in readings(project, summary, entry, inside=inside):
        project.readings.append(Reading(what, entry, key or what, one, leaving=leaving))
    found: dict[tuple[str, str | None], list[Concern]] = {}
    for one in concerns(project, summary.writes, inside=inside):
        found.setdefault((one.capability.name, one.reason), []).append(one)
    return [Group(members[0].capability, tuple(members), whole=True) for members in found.values()]


def finding(id: str, severity: Severity, group: Group, *, entry: Any, message: str, remedy: str) -> Finding:
    """A finding about writes; what a person has looked at and explained is no more than a note."""
    reason = group.reason or (sources.reason(*sources.line_of(entry)) if group.whole else None)
    return Finding(id, severity, group.place(entry), message, remedy, group.confidence).explained(reason)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The names in a row; those beyond ``most`` are counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _is_under(access: Access, capability: Capability) -> bool:
    return bool(access.under & {capability.name, "*"})


def _way(concern: Concern) -> str:
    """How the write is reached, where it is not written in the entry itself."""
    names = list(dict.fromkeys(name for name in concern.via if name))
    shown = names if len(names) <= 4 else [*names[:2], "…", *names[-2:]]
    return f" ({' → '.join(shown)})" if len(names) > 1 else ""
