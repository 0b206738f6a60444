"""Statements that name where a stream comes from.

Note "kept out of logs": a server logs each statement that fails, and shows all that run, and pg_stat_statements keeps
them. An address stands in the statement itself there, for these take no parameters. So it travels as a parameter, and
the statement is put together inside a block whose text holds nothing.
"""

from __future__ import annotations

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection
from strangler.domain.address import Address

_SETTING = "strangler.publisher"
_KEEP = "SELECT pg_catalog.set_config(%s, %s, true)"
# An error that is not caught inside would bear the whole statement as its context.
_BLOCK = """
DO $strangler$
BEGIN
    EXECUTE pg_catalog.format({statement}, pg_catalog.current_setting({setting}));
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM;
END
$strangler$
"""


def lead(connection: Connection, statement: sql.Composed, publisher: str) -> None:
    """Runs ``statement``, in which ``%L`` stands for the publisher's address; see the note "kept out of logs".

    Raises psycopg's error of whatever has failed, without its context.
    """
    address = Address(publisher).secret
    text = statement.as_string(connection)
    assert text.count("%L") == 1
    block = sql.SQL(_BLOCK).format(
        statement=sql.Literal(text.replace("%", "%%").replace("%%L", "%L")), setting=sql.Literal(_SETTING)
    )
    with connection.transaction():
        connection.execute(_KEEP, (_SETTING, address))
        connection.execute(block)
