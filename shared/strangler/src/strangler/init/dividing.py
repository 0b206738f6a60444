"""Which tables could move as one, and which stay.

The tables of an app of the project's own are a candidate. What Django, the chassis and installed packages have stays,
unless the project has no tables of its own: then the packages whose views answer its requests, or whose tables these
write, are the candidates.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from strangler.adapters.toml import RESERVED_NAMES
from strangler.domain.errors import ConfigurationError
from strangler.init.described import App, Described

# Tables of these stay in any project: each side has its own, or their rows are numbered by each side's `migrate`.
ALWAYS_STAY = ("django", "chassis")
# Apps of packages whose tables serve the process that they are in. Needed only where nothing but tables is known.
SERVING = frozenset(
    {"account", "admin", "auth", "authtoken", "axes", "chassis", "constance", "contenttypes", "django_celery_beat"}
    | {"django_celery_results", "flatpages", "guardian", "messages", "oauth2_provider", "otp_totp", "redirects"}
    | {"reversion", "sessions", "silk", "sites", "socialaccount", "waffle"}
)
LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Division:
    """By candidate's name its tables; by app the tables that stay; ``kept_back`` are those of a candidate's app that
    stay all the same, with why."""

    candidates: Mapping[str, Sequence[str]]
    apps: Mapping[str, str]  # by app, the candidate that it is
    stays: Mapping[str, Sequence[str]]
    kept_back: Mapping[str, str]

    def candidate_of(self, table: str) -> str | None:
        """The candidate that has the table."""
        return next((name for name, tables in self.candidates.items() if table in tables), None)


def divide(described: Described, chosen: Collection[str] = ()) -> Division:
    """Divides the tables; ``chosen`` are the labels of the apps that are to be candidates, instead of all that can.

    Raises:
        ConfigurationError: one of the chosen has no table, or must stay.
    """
    moving = _moving(described, chosen)
    names = _names(moving)
    kept_back = {**_unmanaged(described), **_numbered_joins(described)}
    candidates: dict[str, list[str]] = {names[label]: [] for label in moving}
    stays: dict[str, list[str]] = {}
    for table in described.tables:
        if table.app in names and table.name not in kept_back:
            candidates[names[table.app]].append(table.name)
        elif table.app not in names:
            stays.setdefault(table.app, []).append(table.name)
    kept = {name: tables for name, tables in candidates.items() if tables}
    own = {table.name for table in described.tables if table.app in names}
    return Division(
        candidates=_ordered(described, kept),
        apps={label: name for label, name in names.items() if name in kept},
        stays=stays,
        kept_back={table: why for table, why in kept_back.items() if table in own},
    )


def may_move(app: App) -> bool:
    """Whether tables of the app could move at all."""
    return app.module.split(".")[0] not in ALWAYS_STAY


def _moving(described: Described, chosen: Collection[str]) -> Sequence[str]:
    with_tables = list(dict.fromkeys(table.app for table in described.tables))
    able = [label for label in with_tables if label not in described.apps or may_move(described.apps[label])]
    for label in chosen:
        if label not in able:
            why = "stays in every project" if label in with_tables else "has no table"
            raise ConfigurationError(
                f"the app {label} {why}", place="--app", remedy=f"choose from: {', '.join(sorted(able)) or 'none'}",
                id="unknown-name",
            )  # fmt: skip
    if chosen:
        return [label for label in able if label in chosen]
    own = [label for label in able if described.apps[label].own]
    if own:
        return own
    written = {table for one in described.requests for tables in one.writes.values() for table in tables}
    asked = {one.app for one in described.requests} | {one.app for one in described.tables if one.name in written}
    return [label for label in able if label in asked]


def _names(labels: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for label in labels:
        name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
        name = (name if name[:1].isalpha() else f"app_{name}")[:LONGEST_NAME]
        while name in names.values():
            name = f"{name[: LONGEST_NAME - 2]}_2"
        names[label] = name
    return names


def process_name(candidate: str, taken: Collection[str]) -> str:
    """What the candidate's database and web process are called, since some names are taken."""
    reserved = candidate in RESERVED_NAMES or candidate in taken or candidate.startswith("postgres-")
    return f"{candidate}-service" if reserved else candidate


def _unmanaged(described: Described) -> dict[str, str]:
    """Tables that Django does not make, where it makes others of the app: often they are views."""
    managed = {table.app for table in described.tables if table.managed}
    return {
        table.name: f"{table.model} is not managed by Django: a view, or a table that something else fills"
        for table in described.tables
        if not table.managed and table.app in managed
    }


def _numbered_joins(described: Described) -> dict[str, str]:
    """Joins of what moves with rows that each database numbers itself, such as groups."""
    joining = {table.name for table in described.tables if table.joins}
    return {
        one.table: f"it points at {one.numbers}, which each database numbers itself"
        for one in described.references
        if one.table in joining and one.numbers
    }


def _ordered(described: Described, candidates: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """First what others refer to, for that moves first; where they refer to each other, in their own order."""
    owner = {table: name for name, tables in candidates.items() for table in tables}
    needs: dict[str, set[str]] = {name: set() for name in candidates}
    for one in described.references:
        here, there = owner.get(one.table), owner.get(one.to)
        if here and there and here != there:
            needs[here].add(there)
    ordered: list[str] = []
    while len(ordered) < len(needs):
        left = [name for name in needs if name not in ordered]
        ordered.append(min(left, key=lambda name: len(needs[name] - {*ordered})))
    return {name: candidates[name] for name in ordered}
