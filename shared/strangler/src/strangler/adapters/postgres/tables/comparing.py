"""Compares the rules of tables on both sides.

It compares by meaning: names of constraints, indexes, sequences and schemas, the order of columns and everything that
decides nothing (other indexes, comments, storage) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from strangler.adapters.postgres.tables.asking import Asked
from strangler.adapters.postgres.tables.rules import BY_DEFAULT, MONEY, Database, Rules
from strangler.domain.findings import Finding, Severity


def differences(monolith: Database, service: Database, *, uniques: bool = True) -> list[str]:
    """The rules that differ between the sides: one sentence each.

    Without ``uniques``, unique keys and exclusions are not compared: the copy lacks them while rows are copied.
    """
    found: list[str] = []
    for name in monolith.tables.keys() & service.tables.keys():
        here, there = monolith.tables[name], service.tables[name]
        found += [f"{name}{one}" for one in _columns(here, there)]
        found += [f"{name}: {one}" for one in _asked(here, there, uniques)]
        found += [f"{name}: {one}" for one in _one_sided(here.sentences, there.sentences)]
        if uniques:
            found += [f"{name}: {one}" for one in _one_sided(here.uniques, there.uniques)]
    return sorted(found)


def _columns(here: Rules, there: Rules) -> Iterator[str]:
    for column, kind in sorted(here.columns.keys() | there.columns.keys()):
        mine, theirs = here.columns.get((column, kind)), there.columns.get((column, kind))
        if mine == theirs or column not in here.names & there.names:
            continue
        if kind == "collation":
            if _by_default(mine) and _by_default(theirs):
                continue  # the sort order of a whole database is only a note: it never decides what is accepted
            mine, theirs = (one.removeprefix(BY_DEFAULT) if one else one for one in (mine, theirs))
        # If a column is generated on only one side, the sentence about the column says so.
        apart = (column, "generated") in here.columns.keys() ^ there.columns.keys()
        if mine != theirs and not apart:
            how = " (ALTER DATABASE … SET lc_monetary)" if kind == MONEY else ""
            yield (
                f".{column} has the {kind} {mine or 'none'} in the monolith and {theirs or 'none'} in the service{how}"
            )


def _by_default(collation: str | None) -> bool:
    return collation is None or collation.startswith(BY_DEFAULT)


def _asked(here: Rules, there: Rules, uniques: bool) -> Iterator[str]:
    for name in sorted(here.asked.keys() | there.asked.keys()):
        mine, theirs = here.asked.get(name), there.asked.get(name)
        kind = "collation" if name.startswith("collation ") else "function"
        if mine and theirs:
            if mine.definitions != theirs.definitions:
                yield f"{name}, which it asks, is another {kind} in the service"
        elif kind == "function" and (uniques or not (mine or theirs or Asked()).of_key):
            # The texts of the rules may be the same: another overload, operator or cast can have the same name.
            yield f"{name} is asked in the {'monolith' if mine else 'service'} only"


def _one_sided(here: set[str], there: set[str]) -> Iterator[str]:
    for one in sorted(here ^ there):
        yield f"{one}: in the {'monolith' if one in here else 'service'} only"


def notes(monolith: Database, service: Database, *, place: str) -> list[Finding]:
    """Differences that are worth knowing, but no reason to refuse; ``place`` is the service's database."""
    found: list[Finding] = []

    def note(id: str, message: str, remedy: str, severity: Severity = Severity.WARNING) -> None:
        found.append(Finding(id, severity, place, message, remedy))

    if monolith.collation != service.collation:
        note(
            "collation-differs",
            f"text is sorted by {monolith.collation} in the monolith and {service.collation} in the service",
            "make the service's database anew with the monolith's locale, if the order of a list matters",
        )
    elif monolith.collation_version != service.collation_version:
        note(
            "collation-differs",
            f"the collation {monolith.collation} is version {monolith.collation_version} in the monolith and "
            f"{service.collation_version} in the service: lists may come in another order",
            "run both servers on systems with the same version of the collation's library, if the order matters",
        )
    if service.encoding not in ("UTF8", monolith.encoding):
        note(
            "encoding-differs",
            f"the service's database stores {service.encoding}: other characters would stop the stream",
            "make the service's database anew with the encoding UTF8",
        )
    for name in sorted(monolith.tables.keys() & service.tables.keys()):
        here, there = monolith.tables[name], service.tables[name]
        for one in _one_sided(here.outward, there.outward):
            note(
                "foreign-key-on-one-side",
                f"{name}: {one}: rows may refer to nothing there",
                "nothing is to be done where the service knows the row by its number only",
                Severity.NOTE,
            )
        for one in sorted(here.effects ^ there.effects):
            side = "monolith" if one in here.effects else "service"
            note(
                "trigger-on-one-side",
                f"{name}: {one.split(chr(0))[0]} runs so in the {side} only: writes mean something else there",
                "make it on both sides alike, or drop it",
            )
    return found
