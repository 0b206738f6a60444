"""What requests that move do with tables that stay: in the service these are other tables, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chassis.inspection import sources, urls, views
from chassis.inspection.findings import Finding
from chassis.inspection.project import Outside, Project, finding, listed, together

_SHOWN = 12


def findings(project: Project) -> Iterator[Finding]:
    """One finding for each function that writes, and one for all that is read by a capability's routes."""
    functions: dict[tuple[str, str, int, str | None, str], list[Outside]] = {}
    for one in dict.fromkeys(one for one in project.outside if one.writes):
        concern = one.concern
        file, line = concern.access.file, concern.access.around
        entry = "" if file else sources.place(urls.named(one.address.view))
        functions.setdefault((concern.capability.name, file, line, concern.reason, entry), []).append(one)
    for (name, *_), several in functions.items():
        yield _written(name, several)
    for capability in project.capabilities:
        read = [one for one in project.outside if not one.writes and one.concern.capability is capability]
        if read:
            yield _read(project, capability.name, read)


def _written(name: str, several: list[Outside]) -> Finding:
    group = together(dict.fromkeys(one.concern for one in several))[0]
    asked = views.asked_for([(one.address, one.method) for one in several])
    one = len(asked) == 1
    return finding(
        "route-writes-outside", "warning", group, entry=urls.named(several[0].address.view),
        message=f"{listed(asked)} {'belongs' if one else 'belong'} to {name} and {'writes' if one else 'write'} "
        f"{group.done}, which does not move. Once {name} is owned by the service, that is written there: in another "
        "table, which nothing here sees, or in none, and the request fails.",
        remedy=f"move the table with {name}, or let this side write it, by a message or a call; if the service's code "
        "does not do this, say so in a comment",
    )  # fmt: skip


def _read(project: Project, name: str, several: Iterable[Outside]) -> Finding:
    tables = sorted({one.concern.access.table for one in several})
    places = list(dict.fromkeys(one.concern.access.place for one in several if one.concern.access.place))
    at = f" (at {listed(places)})" if places else ""
    return Finding(
        "route-reads-outside", "note", f"{project.configuration.path.name}, [capabilities.{name}] routes",
        f"The routes of {name} read {listed(tables, _SHOWN)}{at}, and these tables do not move. "
        "In the service there are no such rows, unless something brings them.",
        "in the service, ask this side for them, or keep a copy there, by messages or by a subscription of your own",
    )  # fmt: skip
