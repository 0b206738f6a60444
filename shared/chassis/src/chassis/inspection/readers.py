"""What stays and reads what moves: the copy here is kept until ``complete --drop``, and what reads it then fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chassis.inspection import sources, views
from chassis.inspection.admins import ADMIN
from chassis.inspection.findings import Finding, Severity
from chassis.inspection.project import Project, Reading, listed

ID = "copy-is-read"


def findings(project: Project) -> Iterator[Finding]:
    """One finding for what is read by the same pages, commands and the like."""
    for (name, leaving, reason, _), several in _together(project.readings).items():
        yield _finding(name, leaving, several, _severity(project, leaving)).explained(reason)


def _severity(project: Project, leaving: str | None) -> Severity:
    """Nothing has to be done about a read while the copy is kept."""
    if not project.dropping:
        return "note"
    return "error" if leaving is None else "warning"


_Group = tuple[str, str | None, str | None, frozenset[object]]


def _together(readings: Sequence[Reading]) -> dict[_Group, list[Reading]]:
    """The reads of one function together, and those of functions which the same entries reach."""
    functions: dict[tuple[object, ...], list[Reading]] = {}
    for one in dict.fromkeys(readings):
        access = one.concern.access
        function = (access.file, access.around) if access.file else ("", one.key)
        key = (one.concern.capability.name, one.leaving, one.concern.reason, *function)
        functions.setdefault(key, []).append(one)
    groups: dict[_Group, list[Reading]] = {}
    for several in functions.values():
        first = several[0]
        keys = frozenset(one.key for one in several)
        group = (first.concern.capability.name, first.leaving, first.concern.reason, keys)
        groups.setdefault(group, []).extend(several)
    return groups


def _finding(name: str, leaving: str | None, several: Sequence[Reading], severity: Severity) -> Finding:
    asked = list(dict.fromkeys(one.asked for one in several if one.asked is not None))
    others = list(dict.fromkeys(one.what for one in several if one.asked is None))
    readers = [*views.asked_for(asked), *others]
    tables = list(dict.fromkeys(one.concern.access.table for one in several))
    places = list(dict.fromkeys(one.concern.access.place for one in several if one.concern.access.place))
    at = f" (at {listed(places)})" if len(places) > 1 else ""
    told = f"{listed(tables)} {'is' if len(tables) == 1 else 'are'} read by {listed(readers)}{at}."
    return Finding(
        ID,
        severity,
        places[0] if places else sources.place(several[0].entry),
        f"{told} {_consequence(name, leaving)}",
        _remedy(name, leaving, several),
        "certain" if any(one.concern.access.sure for one in several) else "likely",
    )


def _consequence(name: str, leaving: str | None) -> str:
    kept = (
        f"Once {name} is owned elsewhere, that is a copy, which is kept equal until `strangler complete {name} --drop`"
    )
    if leaving is None:
        return f"{kept}. From then on there is no such table here, and each such read fails."
    return f"{kept}. If {leaving} has not left by then, each such read fails."


def _remedy(name: str, leaving: str | None, several: Sequence[Reading]) -> str:
    if all(one.key == ADMIN for one in several):
        return "before the drop, take these admins out here: the service has its own"
    ask = (
        f'before the drop, ask the service where owners.is_open("{name}") says no, or keep what is needed in a table '
        "that stays, by messages"
    )
    if leaving is not None:
        return f"let {leaving} leave before the drop; or {ask}"
    staying = [views.Staying(*one.asked, one.concern) for one in several if one.asked is not None]
    own = [one for one in staying if views.belongs(one)]
    if own and len(own) == len(several):
        return f"{ask}; or, if the service answers it, {views.remedy('view-without-route', own, name)}"
    return ask
