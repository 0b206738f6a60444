"""The compare-and-set by which a move changes: in the ledger's own session, or in the transaction that opens a side."""

from __future__ import annotations

import psycopg

from strangler.adapters.postgres.session.connection import Connection
from strangler.domain.phase import State
from strangler.ports.side import LostError

SWAP = """
UPDATE strangler.move SET state = %s, epoch = %s, owner = coalesce(%s, owner), intent = %s, step = NULL,
       changed_at = clock_timestamp()
WHERE capability = %s AND state = %s AND epoch = %s
"""


def swap(
    connection: Connection,
    capability: str,
    *,
    frm: State,
    to: State,
    epoch: int,
    new_epoch: int,
    owner: str | None,
    intent: str | None,
) -> bool:
    """Changes the move if it is at ``frm`` and ``epoch``; returns whether it was.

    Raises:
        LostError: the server went away; it is not known whether the change happened.
    """
    values = (to, new_epoch, owner, intent, capability, frm, epoch)
    try:
        return connection.execute(SWAP, values).rowcount == 1
    except psycopg.OperationalError as error:
        raise LostError(f"the ledger went away: {error}".strip(), place=capability) from error
