"""Which ledger a side belongs to: each row names the ledger that has made it, and no other ledger acts on it.

Note "a copy shows itself": a ledger knows in which database of which server it was made. A ledger that was copied, made
from a template or restored from a dump is in another place, and does nothing before a person has said that this ledger
goes on. A standby that took over is the same place. So is a second server that was cloned with all its files.
"""

from __future__ import annotations

from collections.abc import Iterable

from strangler.application.sides import Parts
from strangler.domain.errors import RefusedError
from strangler.domain.move import Deviation, Identity, Move, SideRow
from strangler.domain.names import direction_from
from strangler.domain.phase import RETIRED, State
from strangler.domain.project import MONOLITH, SERVICE

ADOPT_SECONDS = 3.0
# An older version of the tool has named no ledger in a side's row. Whose side it is then shows by what arrives there.
SENDERS = {
    State.STARTING: MONOLITH,
    State.MOVING: MONOLITH,
    State.SWITCHING: MONOLITH,
    State.SETTLING: MONOLITH,
    State.COMPLETED: SERVICE,
    State.CANCELLING: MONOLITH,
}
# In these states the move may have no stream yet, or no longer.
UNSTREAMED = frozenset({State.STARTING, State.CANCELLING})


def require(parts: Parts, move: Move | None) -> None:
    """Refuses to act on what belongs to another ledger.

    Raises:
        RefusedError: says which ledger it belongs to, and what to do.
        LostError: a server is away, so this cannot be known.
    """
    identity = parts.ledger.identity()
    if identity is None and parts.ledger.exists():
        parts.ledger.install()
        identity = parts.ledger.identity()
    if identity is None:
        return
    # An interrupted switch is unwound at the old owner alone, whatever has happened to the other side's server.
    sides = [move.owner] if move is not None and move.state is State.SWITCHING else [MONOLITH, SERVICE]
    rows = _rows(parts, sides)
    if identity.home and _adopted(parts, move, identity, rows):
        rows = _rows(parts, sides)
    found = _compare(parts, move, identity, rows)
    if found:
        raise RefusedError(
            "; ".join(each.what for each in found),
            place=f"{parts.name}, {found[0].side}",
            remedy="; ".join(dict.fromkeys(each.remedy for each in found)),
            id="standing",
        )


def look(parts: Parts, move: Move | None) -> list[Deviation]:
    """What belongs to another ledger; changes nothing."""
    identity = parts.ledger.identity()
    if identity is None:
        return []
    return _compare(parts, move, identity, _rows(parts, [MONOLITH, SERVICE]))


def _rows(parts: Parts, sides: Iterable[str]) -> dict[str, SideRow]:
    rows = {name: parts.sides[name].row() for name in sides}
    return {name: row for name, row in rows.items() if row is not None}


def _compare(parts: Parts, move: Move | None, identity: Identity, rows: dict[str, SideRow]) -> list[Deviation]:
    if not identity.home:
        return [
            Deviation(
                MONOLITH,
                "this ledger was made in another database: it has been copied, or put back from a backup, and nothing "
                f"is done by it ({identity.place})",
                "where it is a copy: give its strangler.toml databases of its own; then, or where it is the one that "
                "goes on: SELECT strangler.claim_ledger() in that database; where it is no copy, but its server has "
                "been through pg_upgrade: SELECT strangler.ledger_upgraded()",
                unproven=False,
            )
        ]
    found = []
    for name, row in rows.items():
        if row.ledger == identity.id or (row.ledger is None and _ended(parts, move)):
            continue
        whose = f"the ledger {row.ledger}" if row.ledger else "no ledger by name"
        ask = (
            "see first whose it is: another environment's must keep it; where that ledger is gone for good, "
            if row.ledger
            else f"`strangler serve` names it once the {_direction(move)} stream runs; where none will, and it is this "
            "one's: ALTER TABLE strangler.side ADD COLUMN IF NOT EXISTS ledger uuid; "
        )
        found.append(
            Deviation(
                name,
                f"the row of {parts.name} is that of {whose}, and this one is {identity.id}: nothing is done there",
                f"{ask}UPDATE strangler.side SET ledger = '{identity.id}' "  # noqa: S608  for somebody to read
                f"WHERE capability = '{parts.name}' in the {name}'s database",
                unproven=False,
            )
        )
    return found


def _adopted(parts: Parts, move: Move | None, identity: Identity, rows: dict[str, SideRow]) -> bool:
    """Names the ledger in rows of an older version: in this database's row, and in the service's row if it proves to be
    ours."""
    unnamed = [name for name, row in rows.items() if row.ledger is None]
    if MONOLITH in unnamed:
        parts.monolith.adopt(identity.id)
    if SERVICE in unnamed and move is not None and _reached(parts, move):
        # That version's schema has no column for the name. Only now, for before this the row might have been another
        # ledger's.
        parts.replication.install()
        parts.service.adopt(identity.id)
    return bool(unnamed)


def _reached(parts: Parts, move: Move) -> bool:
    """Whether the service's side is this ledger's: a marker reaches it, or a start of ours has left it as it is.

    A copy of a ledger has no stream to another ledger's service. A copy that was taken in the middle of a start can
    take the place of that start: it finds a closed side, to which nothing streams, and rows that are copied anew in any
    case.
    """
    if move.state not in SENDERS or _ended(parts, move):
        return False
    frm = SENDERS[move.state]
    runs = any(each.active and each.direction == direction_from(frm) for each in parts.replication.streams())
    if runs and parts.replication.catch_up(frm, within=ADOPT_SECONDS):
        return True
    return move.state in UNSTREAMED and parts.replication.left_by_start(epoch=move.epoch)


def _direction(move: Move | None) -> str:
    return direction_from(SENDERS.get(move.state, MONOLITH) if move is not None else MONOLITH)


def _ended(parts: Parts, move: Move | None) -> bool:
    """No stream runs any more that would show whose side it is, and nothing is left to be done there."""
    if move is None or move.state is not State.COMPLETED:
        return False
    return bool(move.facts.get(RETIRED) or parts.replication.dropped())
