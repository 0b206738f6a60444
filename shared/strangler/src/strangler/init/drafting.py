"""What the file will say: the parts of a description, as capabilities, tables that stay, and processes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from strangler.init.claiming import Claim, claims
from strangler.init.described import Described, Reference
from strangler.init.dividing import ALWAYS_STAY, Division, divide, process_name
from strangler.init.obstacles import obstacles

LEDGER, WEB = "monolith", "web"
# Tables of Django that no model has, and those of the chassis, which is to be installed.
EVERYWHERE = {"django_migrations": "django_*", "chassis_outbox": "chassis_*"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A capability as it will stand in the file, ``name`` in comments only if it is not ``active``."""

    name: str
    process: str
    tables: Sequence[str]
    claims: Sequence[Claim]
    references: Sequence[Reference]
    parents: Sequence[Reference]
    notes: Sequence[str]
    active: bool


@dataclass(frozen=True, slots=True)
class Staying:
    """What stands under `stays`, and why, if there is something to say."""

    pattern: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """The whole file. ``folder`` is where manage.py is and ``python`` the interpreter, both from the file's folder."""

    described: Described
    candidates: Sequence[Candidate]
    stays: Sequence[Staying]
    division: Division
    unclaimed: int  # requests of no candidate
    folder: str = "."
    python: str | None = None
    outbox: bool = False
    said: Sequence[str] = field(default_factory=list)  # what a person should know of how it was made


def draft(
    described: Described,
    *,
    chosen: Collection[str] = (),
    folder: str = ".",
    python: str | None = None,
    said: Sequence[str] = (),
) -> Draft:
    """Drafts the file.

    Raises:
        ConfigurationError: an app of the ``chosen`` ones cannot be a candidate.
    """
    division = divide(described, chosen)
    claimed = claims(described, division.candidate_of, division.apps)
    taken = {WEB, LEDGER, "worker"}
    candidates = [
        Candidate(
            name=name,
            process=process_name(name, taken),
            tables=tables,
            claims=claimed.get(name, []),
            references=into(described, tables),
            parents=_quiet_parents(described, division, tables),
            notes=obstacles(described, division, name),
            # Where only the database was asked nobody knows a route: a person has to write them.
            active=not described.whole or any(not claim.refusal for claim in claimed.get(name, [])),
        )
        for name, tables in division.candidates.items()
    ]
    paths = {claim.text.partition(" ")[2] for each in claimed.values() for claim in each}
    return Draft(
        described=described,
        candidates=candidates,
        stays=_stays(described, division, candidates),
        division=division,
        unclaimed=len({request.path for request in described.requests} - paths),
        folder=folder,
        python=python,
        outbox=described.table("chassis_outbox") is not None,
        said=said,
    )


def into(described: Described, tables: Collection[str]) -> list[Reference]:
    """What refers to the tables from outside."""
    return [one for one in described.references if one.to in tables and one.table not in tables]


def _quiet_parents(described: Described, division: Division, tables: Collection[str]) -> list[Reference]:
    """References to what stays for whose deletions the model says that nothing is to be done."""
    return [
        one
        for one in described.references
        if one.table in tables and division.candidate_of(one.to) is None and one.on_delete == "DO_NOTHING"
    ]


def _stays(described: Described, division: Division, candidates: Sequence[Candidate]) -> list[Staying]:
    moving = [table for each in candidates if each.active for table in each.tables]
    found: list[Staying] = []
    for name, glob in EVERYWHERE.items():
        found += _patterns([name], glob, moving)
    for app, tables in division.stays.items():
        module = described.apps[app].module if app in described.apps else app
        django = module.split(".")[0] in ALWAYS_STAY
        left = [table for table in tables if not any(fnmatchcase(table, one.pattern) for one in found)]
        if left:
            found += _patterns(left, f"{app}_*", moving, "" if django else _why(described, app, module))
    found += [Staying(table, why) for table, why in division.kept_back.items()]
    for table in _caches(described):
        if not any(fnmatchcase(table, one.pattern) for one in found):
            found.append(Staying(table, "a cache of CACHES; no model has it"))
    for table in described.unmodelled:
        if not any(fnmatchcase(table, one.pattern) for one in found):
            found.append(Staying(table, "no model has it"))
    for each in candidates:
        if not each.active:
            why = f"{each.name}: no URL was found that belongs to it"
            found += _patterns(each.tables, f"{each.name}_*", moving, why)
    return found


def _caches(described: Described) -> list[str]:
    """The tables of caches in the database, which `createcachetable` makes."""
    setting = described.setting("CACHES")
    caches = setting.value.values() if setting and isinstance(setting.value, dict) else ()
    return sorted(
        {
            str(one["LOCATION"])
            for one in caches
            if isinstance(one, dict) and str(one.get("BACKEND", "")).endswith("DatabaseCache") and one.get("LOCATION")
        }
    )


def _why(described: Described, app: str, module: str) -> str:
    own = app in described.apps and described.apps[app].own
    return f"the app {app} was not chosen" if own else f"of the installed package {module}"


def _patterns(tables: Sequence[str], glob: str, moving: Collection[str], why: str = "") -> list[Staying]:
    """The glob, where it stands for all of the tables and for none that moves; else the tables one by one."""
    if all(fnmatchcase(table, glob) for table in tables) and not any(fnmatchcase(table, glob) for table in moving):
        return [Staying(glob, why)]
    return [Staying(table, why) for table in tables]
