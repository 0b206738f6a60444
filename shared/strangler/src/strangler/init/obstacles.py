"""What stands in the way of a candidate, or makes it harder to move than others: for the person who decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from strangler.init.described import Described, Reference, Table
from strangler.init.dividing import Division


def obstacles(described: Described, division: Division, name: str) -> Sequence[str]:
    """One line each, the gravest first."""
    tables = [table for table in described.tables if table.name in division.candidates[name]]
    return [
        *_both_ways(described, division, name),
        *_parents(described, division, name),
        *_users(described, division, name),
        *_relations(described, tables, division, name),
        *_numbers(described, division, name),
        *_strange(tables),
    ]


def _both_ways(described: Described, division: Division, name: str) -> Iterator[str]:
    for other in division.candidates:
        there, back = _between(described, division, name, other), _between(described, division, other, name)
        if other != name and there and back:
            yield (
                f"Foreign keys in both directions with {other} ({_named(there)}; {_named(back)}): neither can go first "
                "without deletions that are sent. Think of one capability for both."
            )


def _parents(described: Described, division: Division, name: str) -> Iterator[str]:
    for other in division.candidates:
        there = _between(described, division, name, other)
        if other != name and there and not _between(described, division, other, name):
            yield f"Refers to {other} ({_named(there)}), which best moves first."


def _users(described: Described, division: Division, name: str) -> Iterator[str]:
    if described.user_table in division.candidates[name]:
        yield "Has the project's user model: logins, sessions and the admin of all processes read it."


def _relations(described: Described, tables: Sequence[Table], division: Division, name: str) -> Iterator[str]:
    for table in tables:
        if table.joins:
            outside = [
                one.to
                for one in described.references
                if one.table == table.name and division.candidate_of(one.to) != name
            ]
            if outside:
                parents = ", ".join(outside)
                yield f"{table.name}, a many-to-many relation, joins it with {parents}, which does not move along."
        if table.generic:
            yield (
                f"{table.model} has a GenericForeignKey ({', '.join(table.generic)}): its numbers of content types "
                "mean other rows in another database (numbers-differ)."
            )


def _numbers(described: Described, division: Division, name: str) -> Iterator[str]:
    generic = {table.name for table in described.tables if table.generic}
    for one in described.references:
        if one.numbers and one.table in division.candidates[name] and one.table not in generic:
            yield f"{one.table}.{one.column} holds numbers of {one.numbers}, which each database gives by itself."


def _strange(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        if not table.managed:
            yield f"{table.model} is not managed by Django: see that {table.name} is a table, and who writes it."


def _between(described: Described, division: Division, one: str, other: str) -> list[Reference]:
    return [
        each
        for each in described.references
        if each.table in division.candidates[one] and each.to in division.candidates[other]
    ]


def _named(references: Sequence[Reference], most: int = 3) -> str:
    shown = [f"{one.table}.{one.column}" + (f" {one.on_delete}" if one.on_delete else "") for one in references]
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")
