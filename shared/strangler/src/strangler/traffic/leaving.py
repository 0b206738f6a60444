"""What a write leaves in the database, where it can be seen: told by a recording's rows, or by the tables' columns.

Expressions are those of the scenario: ``body`` and ``headers`` are what is sent, ``answer`` is what comes back, and
``order.key`` finds the row of a thing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strangler.domain.project import Project
from strangler.traffic.known import (
    Column,
    Of,
    Offered,
    Open,
    Request,
    Row,
    Secret,
    Shape,
    Text,
    column_with,
    leaves,
    singular,
)

INSERT, UPDATE, DELETE = "insert", "update", "delete"
LEAST_ALIKE = 2


@dataclass(frozen=True, slots=True)
class Leaving:
    """One row. ``found`` is the key as an expression, where it is a thing's or the account's; ``told``: the answer has
    its key. ``each`` names what the visit keeps, if the same happens to all of these."""

    kind: str
    capability: str
    table: str
    key: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    found: str = ""
    told: bool = False
    each: str = ""


class Tables:
    """The tables that move, each with its capability."""

    def __init__(
        self, shapes: Mapping[str, Shape], project: Project, unsteady: Mapping[str, Collection[str]] | None = None
    ) -> None:
        self.shapes = shapes
        self.unsteady = unsteady or {}
        self._owners = {table: name for name, each in project.capabilities.items() for table in each.tables}

    def owner(self, table: str) -> str:
        """The capability of the table; empty if it does not move."""
        return self._owners.get(table, "")

    def shape(self, table: str) -> Shape | None:
        """What is known of the table."""
        return self.shapes.get(table)

    def pick(self, request: Request) -> str:
        """The table of the capability whose columns look most like what is sent and answered; empty if none does."""
        shown = request.made or {}
        sent = set(request.body) if isinstance(request.body, dict) else set()
        sent |= {name.lower().replace("-", "_") for name in request.headers}
        words = {singular(part) for part in request.path.split("/") if part and "{" not in part}
        last = next((singular(part) for part in reversed(request.path.split("/")) if part and "{" not in part), "")
        ranked = []
        for table, owner in self._owners.items():
            shape = self.shapes.get(table)
            if owner != request.capability or shape is None:
                continue
            alike = sum(name in shape.columns or f"{name}_id" in shape.columns for name in sent)
            same = sum(name in shape.columns for name in shown) if isinstance(shown, dict) else 0
            own = singular(table.rpartition(".")[2]).rpartition("_")[2]
            if alike + same >= LEAST_ALIKE or (alike and own in words):
                ranked.append((2 * alike + same + 3 * (own == last), alike, table))
        return max(ranked)[2] if ranked else ""

    def dependent(self, table: str, how: str) -> Iterator[str]:
        """The moving tables whose rows go as those of this one go, or are in the way, and so on."""
        seen, ahead = {table}, [table]
        while ahead:
            parent = ahead.pop()
            for child, shape in self.shapes.items():
                acts = {on_delete for to, on_delete in shape.parents.values() if to == parent}
                if child not in seen and (how in acts or ("" in acts and how != "")):
                    seen.add(child)
                    ahead.append(child)
                    yield child


def of_account(request: Request, identity: str, tables: Tables) -> Leaving | None:
    """The row of a new account, found by what it logs in with."""
    table = _inserted(request, tables)
    if request.rows is None:
        table = tables.pick(request)
    shape = tables.shape(table)
    if shape is None or identity not in shape.columns:
        return None
    values = {
        column: written
        for column, (written, leaf) in _values(request, table, tables).items()
        if column != identity and not isinstance(leaf, Of)
    }
    return Leaving(INSERT, tables.owner(table), table, {identity: f"self.{identity}"}, values)


def of_creation(
    request: Request, id_name: str, changed: Collection[str], tables: Tables
) -> tuple[list[Leaving], list[str]]:
    """The row that a request makes, what else it is seen to leave, and remarks. Rows are not found by what is
    ``changed`` later."""
    table = _inserted(request, tables) if request.rows is not None else tables.pick(request)
    shape = tables.shape(table)
    if shape is None:
        return [], ["? Which row does it leave? Name it in `writes`."]
    values = _values(request, table, tables)
    fresh = [
        column
        for column, (_, leaf) in values.items()
        if isinstance(leaf, Text) and column not in changed and shape.columns[column].kind == "text"
    ]
    # The checker tests itself by doubling a row, which a unique key does not let it do.
    fresh.sort(key=lambda column: shape.columns[column].unique)
    shown = request.made
    owner = tables.owner(table)
    by_id = isinstance(shown, dict) and id_name in shown and id_name in shape.columns
    id_code = f'answer.json()["{id_name}"]'
    if (page := request.shown) and page.kind == "location" and shape.key and _is_shown(request, table):
        by_id, id_name, id_code = True, shape.key, f'in_location(answer, "{page.pattern}")'
    if fresh and not (by_id and shape.columns[fresh[0]].unique and fresh[0] not in _headers(request)):
        key = {fresh[0]: values[fresh[0]][0]}
        rest = {column: written for column, (written, _) in values.items() if column not in key}
        found = [Leaving(INSERT, owner, table, key, rest)]
        if by_id:
            found.append(Leaving(UPDATE, owner, table, values={id_name: id_code}, found="key", told=True))
    elif by_id:
        rest = {column: written for column, (written, _) in values.items() if column != id_name}
        found = [Leaving(INSERT, owner, table, {id_name: id_code}, rest, told=True)]
    else:
        return [], [f"? It leaves a row in {table}: by what is it found again? Name it in `writes`."]
    others, remarks = _others(request, table, tables)
    return found + others, remarks


def _is_shown(request: Request, table: str) -> bool:
    """Whether the id that a page shows is that of the table's row."""
    key = request.shown.key if request.shown else ""
    return any(row.table == table and key in row.key.values() for row in request.rows or ())


def of_change(
    request: Request, one: str, table: str, account: Leaving | None, tables: Tables
) -> tuple[list[Leaving], list[str]]:
    """The row that a request changes: the thing's, of which ``table`` is known, or the account's."""
    if not request.capability:
        return [], []
    owns = account.table if account and request.access == "account" and not one else ""
    if request.rows is not None:
        moved = [row for row in request.rows if tables.owner(row.table)]
        if not moved:
            return [], []
        changed = next((row for row in moved if row.kind == UPDATE and row.table in (table, owns)), None)
        added = {id(row): each for row in moved if (each := _added(request, row, one, tables))}
        told = [_told(row, request) for row in moved if row is not changed and id(row) not in added]
        values = _changed(request, changed, tables) if changed else {}
        if changed and not values:
            told.insert(0, _told(changed, request))
        remarks = [f"? It leaves {'; '.join(told)}: name in `writes` what stays so."] if told else []
        if not changed or not values:
            return [*added.values()], remarks
        target = changed.table
    else:
        target = table or (owns if owns and tables.pick(request) == owns else "")
        after = request.path.rpartition("}")[2].strip("/") if "}" in request.path else ""
        if not target or after or request.method not in ("PATCH", "PUT"):
            return [], (["? Which row does it leave, and how? Name it in `writes`."] if tables.shapes else [])
        values = {column: written for column, (written, _) in _values(request, target, tables).items()}
        remarks = []
    found = f"{one}.key" if target == table and one else "self.key"
    if account and target == account.table and found == "self.key":
        values = {column: written for column, written in values.items() if column not in account.key}
    if not values:
        return [], remarks or ["? Which row does it leave, and how? Name it in `writes`."]
    more = [*added.values()] if request.rows is not None else []
    return [Leaving(UPDATE, tables.owner(target), target, values=values, found=found), *more], remarks


def _added(request: Request, row: Row, one: str, tables: Tables) -> Leaving | None:
    """The row that a change adds elsewhere, if a text that was sent finds it again."""
    if row.kind != INSERT:
        return None
    values = _values(request, row.table, tables)
    fresh = next((column for column, (_, leaf) in values.items() if isinstance(leaf, Text)), None)
    shape = tables.shape(row.table)
    if fresh is None or shape is None:
        return None
    rest = {column: written for column, (written, _) in values.items() if column != fresh}
    if one and request.named:
        named = {column: f"str({one}.id)" for column, value in row.values.items() if value == request.named}
        rest.update((column, code) for column, code in named.items() if column in shape.columns and column != shape.key)
    return Leaving(INSERT, tables.owner(row.table), row.table, {fresh: values[fresh][0]}, rest)


def of_deletion(
    request: Request,
    one: str,
    table: str,
    account: Leaving | None,
    tables: Tables,
    *,
    made: Sequence[tuple[str, str]],
) -> tuple[list[Leaving], list[str]]:
    """The row that a request deletes. Of an account, all that goes with it, if the models say so; ``made`` are the
    tables and the names of what a visit has made."""
    if table:
        with_it = [other for other, _ in made if other != table and other in set(tables.dependent(table, "CASCADE"))]
        if with_it:
            return [], [f"? what goes with it ({', '.join(with_it)})?"]
        return [Leaving(DELETE, tables.owner(table), table, found=f"{one}.key")], []
    deleted = {row.table for row in request.rows or () if row.kind == DELETE}
    if one or account is None or account.table not in deleted:
        return [], ["? which row does it delete?"]
    gone = set(tables.dependent(account.table, "CASCADE")) | deleted
    going = [
        Leaving(DELETE, tables.owner(other), other, found="each.key", each=attribute)
        for other, attribute in made
        if other in gone and tables.owner(other)
    ]
    return [Leaving(DELETE, account.capability, account.table, found="self.key"), *going], []


def _inserted(request: Request, tables: Tables) -> str:
    """The table of a recorded insertion that looks most like what was sent and answered."""
    sent = {_as_text(value) for _, value in leaves(request.sent)} | set(request.sent_headers.values())
    shown = request.made if isinstance(request.made, dict) else {}
    best, most = "", -1
    for row in request.rows or ():
        if row.kind == INSERT and tables.owner(row.table) and tables.shape(row.table):
            alike = sum(value is not None and value in sent for value in row.values.values())
            same = sum(_as_text(value) == row.values.get(name, "\0") for name, value in shown.items())
            if alike + 2 * same > most:
                best, most = row.table, alike + 2 * same
    return best


def _values(request: Request, table: str, tables: Tables) -> dict[str, tuple[str, Any]]:
    """What is sent and stands in a column as it is: by column the expression, and the leaf."""
    shape = tables.shape(table)
    found: dict[str, tuple[str, Any]] = {}
    if shape is None:
        return found
    row = next((each for each in request.rows or () if each.table == table and each.kind != DELETE), None)
    sent = dict(leaves(request.sent))
    for place, leaf in leaves(request.body):
        if isinstance(leaf, Secret) or not place or not isinstance(place[-1], str):
            continue
        name = place[-1]
        column = name if name in shape.columns else f"{name}_id"
        was = sent.get(place)
        if column not in shape.columns and isinstance(was, str):
            other = column_with(was, name, request.rows or (), tables.shapes)
            column = other[0][1] if other and other[0][0] == table else column
        if (len(place) > 1 and row is None) or column not in shape.columns:
            continue
        if row is not None and row.values.get(column, "\0") != _as_text(sent.get(place)):
            continue
        if column in tables.unsteady.get(table, ()):
            continue
        # Nobody has seen whether a number stays what it was, such as a stock.
        if row is None and isinstance(leaf, int) and not isinstance(leaf, bool):
            continue
        # What was printed as it was sent is printed so again.
        if _fits(shape.columns[column], leaf) or (row is not None and isinstance(leaf, str | Of | Open | Offered)):
            found.setdefault(column, (f"body{_written(place)}", leaf))
    for column, (name, leaf) in _headers(request).items():
        if column in shape.columns and (
            row is None or row.values.get(column) == request.sent_headers.get(name.lower())
        ):
            found.setdefault(column, (f'headers["{name}"]', leaf))
    return found


def _headers(request: Request) -> dict[str, tuple[str, Any]]:
    return {name.lower().replace("-", "_").removeprefix("x_"): (name, leaf) for name, leaf in request.headers.items()}


def _fits(column: Column, leaf: Any) -> bool:
    """Whether PostgreSQL prints the value as it was sent."""
    if isinstance(leaf, Text):
        return column.kind == "text" or leaf.form == "uuid"
    if isinstance(leaf, Of):
        return column.kind == "number"
    if isinstance(leaf, bool):
        return column.kind == "boolean"
    if isinstance(leaf, int):
        return column.kind == "number"
    return isinstance(leaf, str) and column.kind == "text" and leaf == leaf.strip()


def _changed(request: Request, row: Row, tables: Tables) -> dict[str, str]:
    return {
        column: written for column, (written, _) in _values(request, row.table, tables).items() if column in row.values
    }


def _others(request: Request, table: str, tables: Tables) -> tuple[list[Leaving], list[str]]:
    """Further rows of a creation: those that the answer's id and something that was sent find, and remarks on the
    others, which may become something else later."""
    found, told = [], []
    shown = request.made if isinstance(request.made, dict) else {}
    for row in request.rows or ():
        if row.table == table and row.kind == INSERT:
            continue
        shape, owner = tables.shape(row.table), tables.owner(row.table)
        if shape is None or not owner:
            continue
        parents = [
            column
            for column, (parent, _) in shape.parents.items()
            if parent == table and row.values.get(column) == _as_text(shown.get("id", "\0"))
        ]
        values = _deep(request, row, shape)
        named = {column: written for column, (written, leaf) in values.items() if isinstance(leaf, Of | Text)}
        if row.kind == INSERT and parents and named and "[0]" in "".join(named.values()):
            key = {parents[0]: 'answer.json()["id"]', **named}
            rest = {column: written for column, (written, _) in values.items() if column not in key}
            found.append(Leaving(INSERT, owner, row.table, key, rest, told=True))
        else:
            told.append(_told(row, request))
    remarks = [f"? It also leaves {'; '.join(dict.fromkeys(told))}: name in `told` what stays so."] if told else []
    return found, remarks


def _deep(request: Request, row: Row, shape: Shape) -> dict[str, tuple[str, Any]]:
    """As `_values`, for a row whose values stand deeper in the body."""
    sent = dict(leaves(request.sent))
    found: dict[str, tuple[str, Any]] = {}
    for place, leaf in leaves(request.body):
        name = str(place[-1]) if place else ""
        column = name if name in shape.columns else f"{name}_id"
        same = column in shape.columns and row.values.get(column) == _as_text(sent.get(place))
        if same and len(place) > 1 and _fits(shape.columns[column], leaf):
            found.setdefault(column, (f"body{_written(place)}", leaf))
    return found


def _told(row: Row, request: Request) -> str:
    """The row in words; values only where they are the same in each run, such as a status."""
    if row.kind != UPDATE:
        return f"{'a new row' if row.kind == INSERT else 'no row'} in {row.table}"
    return f"{row.table} with another {', '.join(row.values)}"


def _written(place: Sequence[str | int]) -> str:
    return "".join(f'["{part}"]' if isinstance(part, str) else f"[{part}]" for part in place)


def _as_text(value: Any) -> str | None:
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
