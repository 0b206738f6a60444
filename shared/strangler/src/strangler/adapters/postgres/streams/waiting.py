"""Making a slot waits until every open transaction has ended: how long this may take, and which ones it waits for."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import Any

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, describe
from strangler.domain.errors import MoveError
from strangler.ports.replication import Patience

AFTER_THE_COPY_SECONDS = 600.0  # long, for giving up then means to copy everything again
SAY_SECONDS = 2.0
BLOCKING = """
SELECT coalesce('pid ' || h.pid || ' (' || concat_ws(', ', a.usename, nullif(a.application_name, ''), a.datname)
                || '), ' || a.state || ' for ' || extract(epoch FROM clock_timestamp() - a.xact_start)::int || ' s: '
                || left(a.query, 120),
                'the prepared transaction ''' || p.gid || ''' of ' || p.owner || ' in ' || p.database, 'pid ' || h.pid)
FROM pg_locks w
JOIN pg_locks h ON h.locktype = 'transactionid' AND h.transactionid = w.transactionid AND h.granted
LEFT JOIN pg_stat_activity a ON a.pid = h.pid LEFT JOIN pg_prepared_xacts p ON p.transaction = h.transactionid
WHERE w.pid = %s AND w.locktype = 'transactionid' AND NOT w.granted
"""


def made(session: Connection, statement: sql.Composed, *, watch: Connection, patience: Patience) -> tuple[Any, ...]:
    """Runs a statement that makes a slot, and returns its row; ``watch`` is another session of the same server.

    Says now and then which transactions it waits for.

    Raises:
        MoveError: it had to wait longer than that; the error names the transactions that it waited for.
    """
    with ThreadPoolExecutor(1) as pool:
        try:
            return _in_time(pool.submit(_row, session, statement), session, watch, patience)
        except BaseException:
            session.cancel()
            raise


def _row(session: Connection, statement: sql.Composed) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = session.execute(statement).fetchone()
    assert row is not None
    return row


def _in_time(
    making: Future[tuple[Any, ...]], session: Connection, watch: Connection, patience: Patience
) -> tuple[Any, ...]:
    deadline = time.monotonic() + patience.seconds
    while True:
        left = deadline - time.monotonic()
        try:
            return making.result(timeout=min(max(left, 0.0), SAY_SECONDS))
        except NotYet:
            rows = watch.execute(BLOCKING, (session.info.backend_pid,)).fetchall()
            whom = "".join(f"\n    for {row[0]}" for row in rows)
        if left <= SAY_SECONDS:
            raise MoveError(
                f"the slot could not be made within {patience.seconds:g} s: it waits for every transaction that is "
                f"open{whom}",
                place=describe(watch.info.dsn),
                remedy="let that transaction end, or end it, and run the command again, or give more time with "
                "--timeout",
                id="transaction-open",
            )
        patience.say(f"waiting for open transactions at {describe(watch.info.dsn)} to end{whom}")
