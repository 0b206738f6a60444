"""Checks whether the sequences of the next owner can go on where those of the present owner are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables.sequences import Numbering

POSITION = sql.SQL("SELECT last_value, is_called FROM {}")
FURTHEST = sql.SQL("SELECT {}({}) FROM {} WHERE {} BETWEEN {} AND {}")


def misfits(
    here: Connection, ours: Mapping[str, Numbering], there: Connection, theirs: Mapping[str, Numbering]
) -> list[str]:
    """What would go wrong if the side ``there`` took over from the side ``here``: one sentence each."""
    found = [f"{place} is numbered by a sequence on one side only" for place in sorted(ours.keys() ^ theirs.keys())]
    for place in sorted(ours.keys() & theirs.keys()):
        mine, peer = ours[place], theirs[place]
        unlike = list(_unlike(mine, peer))
        found += [f"{place}: {one}" for one in unlike]
        barred = [side for side, each in (("here", mine), ("there", peer)) if not each.allowed]
        found += [f"{place}: this role may not read and set its sequence {side}" for side in barred]
        if not unlike and not barred:
            found += [f"{place}: {one}" for one in _room(here, mine, there, peer)]
    return found


def _unlike(mine: Numbering, peer: Numbering) -> Iterator[str]:
    if mine.increment != peer.increment:
        yield f"its sequence counts by {mine.increment} here and by {peer.increment} there"
    if mine.cycling != peer.cycling:
        yield "its sequence cycles on one side only"
    if mine.cycling and (mine.least, mine.most) != (peer.least, peer.most):
        yield f"its sequence cycles from {mine.least} to {mine.most} here and from {peer.least} to {peer.most} there"


def _room(here: Connection, mine: Numbering, there: Connection, peer: Numbering) -> Iterator[str]:
    """Checks how many numbers are left there, once its sequence is where this side's is now."""
    if mine.cycling:
        return
    position, called = here.execute(POSITION.format(sql.SQL(mine.qualified))).fetchall()[0]
    span = f"{peer.type}, {peer.least} to {peer.most}"
    if not peer.least <= position <= peer.most:
        what = "has come to" if called else "begins at"
        yield f"it {what} {position} here, which the sequence there cannot give out ({span})"
        return
    following = position + mine.increment if called else position
    for connection, each in ((here, mine), (there, peer)):
        row = _furthest(connection, each, peer)
        if row is None or not peer.least <= following <= peer.most:
            continue
        # In the same steps, for another system may give out the numbers in between.
        behind = following + max(0, (row - following) // mine.increment + 1) * mine.increment
        if not peer.least <= behind <= peer.most:
            yield f"a row has the number {row}, behind which the sequence there has none left ({span})"
            return


def _furthest(connection: Connection, each: Numbering, peer: Numbering) -> int | None:
    if each.relation is None or each.attribute is None:
        return None
    column = sql.Identifier(each.attribute)
    query = FURTHEST.format(
        sql.SQL("max" if each.rising else "min"),
        column,
        sql.SQL(each.relation),
        column,
        sql.Literal(peer.least),
        sql.Literal(peer.most),
    )
    found: int | None = scalar(connection, query)
    return found
