"""The work list of an extraction, for people (EXTRACT.md) and for programs (extract.json).

A decision keeps its name from one run to the next, so that what a person has ticked off stays so; and what a person
writes under `## Notes` stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from strangler.domain.words import counted
from strangler.extract.draft import Decision, Kind

PAGE, DATA = "EXTRACT.md", "extract.json"
FORM = 1
NOTES = "## Notes"
TITLES = {
    Kind.REFERENCE: "Relations to what does not move",
    Kind.IMPORT: "Imports that were cut",
    Kind.QUERY: "Queries across the seam",
    Kind.SIGNAL: "Signals",
    Kind.CASCADE: "Cascades",
    Kind.SETTING: "Settings",
    Kind.ROUTE: "Routes",
    Kind.ACCESS: "Who may do what",
    Kind.FILE: "Files and migrations",
    Kind.CACHE: "Caches",
}
_TICKED = re.compile(r"^- \[[xX]\] .*<!-- ([0-9a-f]{10}(?:-\d+)?) -->\s*$")


@dataclass(frozen=True, slots=True)
class Measures:
    """Lines of Python: ``taken`` as they were, ``changed`` of these, ``written`` ports and adapters, ``frame``
    settings, URLs and programs."""

    taken: int
    changed: int
    written: int
    frame: int

    def as_dict(self) -> dict[str, int]:
        """As JSON shows it."""
        return {"taken": self.taken, "changed": self.changed, "written": self.written, "frame": self.frame}


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision with its name; ``done``: a person has ticked it off."""

    id: str
    decision: Decision
    done: bool

    @property
    def is_left(self) -> bool:
        """Whether a person has still to decide it."""
        return self.decision.open and not self.done


@dataclass(frozen=True, slots=True)
class WorkList:
    """All of it."""

    capability: str
    entries: Sequence[Entry]
    measures: Measures
    relations: str
    notes: str = ""

    @property
    def left(self) -> Sequence[Entry]:
        """What a person has still to decide."""
        return [one for one in self.entries if one.is_left]

    def left_by_kind(self) -> Mapping[str, int]:
        """How many of these, by kind, without kinds that have none."""
        counts = {kind.value: sum(one.decision.kind is kind for one in self.left) for kind in Kind}
        return {kind: count for kind, count in counts.items() if count}


def entries(decisions: Iterable[Decision], ticked: Set[str] = frozenset()) -> list[Entry]:
    """Names the decisions: by kind, file and text, since lines move when a file is changed above them."""
    found: list[Entry] = []
    seen: dict[str, int] = {}
    for one in sorted(decisions):
        file = re.sub(r":\d+$", "", one.place)
        id = hashlib.sha256("\0".join([one.kind, file, one.says]).encode()).hexdigest()[:10]
        seen[id] = seen.get(id, 0) + 1
        name = id if seen[id] == 1 else f"{id}-{seen[id]}"
        found.append(Entry(name, one, name in ticked))
    return found


def ticked(page: str) -> frozenset[str]:
    """The names of what a person has ticked off in the page."""
    return frozenset(found[1] for line in page.splitlines() if (found := _TICKED.match(line)))


def notes(page: str) -> str:
    """What a person has written at the page's end."""
    _, found, text = page.partition(f"\n{NOTES}\n")
    return text.strip("\n") if found else ""


def as_page(work: WorkList) -> str:
    """The Markdown."""
    measures = work.measures
    left = work.left_by_kind()
    lines = [
        f"# {work.capability}: what is left to decide",
        "",
        "`strangler extract` wrote this list. Tick off what you have decided: it stays so when it runs again.",
        "",
        "| | lines of Python |",
        "| --- | ---: |",
        f"| taken as they were, or rewritten | {measures.taken:,} |",
        f"| of these rewritten | {measures.changed:,} |",
        f"| ports and adapters | {measures.written:,} |",
        f"| settings, URLs, programs | {measures.frame:,} |",
        "",
        f"{counted(len(work.left), 'decision')} left"
        + (f": {', '.join(f'{kind} {count}' for kind, count in left.items())}." if left else "."),
    ]
    for kind in Kind:
        those = [one for one in work.entries if one.decision.kind is kind]
        if those:
            lines += ["", f"## {TITLES[kind]}", ""]
            lines += [line for one in those if one.decision.open for line in _shown(one)]
            known = [one for one in those if not one.decision.open]
            if known:
                if len(known) < len(those):
                    lines += ["", "To know, and nothing to do unless you want it otherwise:", ""]
                lines += [line for one in known for line in _shown(one)]
    lines += ["", NOTES, "", *([work.notes, ""] if work.notes else [])]
    return "\n".join(lines)


def _shown(one: Entry) -> Iterator[str]:
    decision = one.decision
    box = f"[{'x' if one.done else ' '}] " if decision.open else ""
    place = " → ".join(f"`{each}`" for each in (decision.place, decision.target) if each)
    said = " ".join(decision.says.split())
    remedy = " ".join(decision.remedy.split())
    yield f"- {box}{f'{place}: ' if place else ''}{said}. *{remedy}.* <!-- {one.id} -->"


def as_data(work: WorkList) -> str:
    """The JSON."""
    return json.dumps(document(work), indent=1, ensure_ascii=False) + "\n"


def document(work: WorkList) -> dict[str, object]:
    """What the JSON holds."""
    return {
        "form": FORM,
        "capability": work.capability,
        "relations": work.relations,
        "lines": work.measures.as_dict(),
        "left": dict(work.left_by_kind()),
        "decisions": [
            {
                "id": one.id,
                "kind": one.decision.kind.value,
                "place": one.decision.place,
                "target": one.decision.target,
                "says": one.decision.says,
                "remedy": one.decision.remedy,
                "open": one.decision.open,
                "done": one.done,
            }
            for one in work.entries
        ],
    }
