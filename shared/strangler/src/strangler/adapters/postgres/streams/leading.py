"""Statements that name where a stream comes from.

Note "kept out of logs": a server logs each statement that fails, shows all that run, and pg_stat_statements keeps
them. These statements take no parameters, so the address stands in their text. Therefore the address travels as a
parameter of a block, which puts the statement together; the text of the block has nothing secret.
"""

from __future__ import annotations

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection
from strangler.domain.address import Address

_SETTING = "strangler.publisher"
_KEEP = "SELECT pg_catalog.set_config(%s, %s, true)"
# An error that is not caught inside the block would have the whole statement as its context.
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

    Raises psycopg's error if the statement fails, without the error's context.
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
