"""The secret of a move, by which the processes of its two sides know each other."""

from __future__ import annotations

import secrets

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, scalar

BYTES = 32
# As in `strangler.place`, which only the ledger's database has.
PLACE = """
(SELECT c.system_identifier || '/' || d.oid FROM pg_control_system() c, pg_database d
 WHERE d.datname = current_database())
"""
READ = "SELECT secret FROM strangler.secret WHERE capability = %s AND place = PLACE".replace("PLACE", PLACE)
WRITE = """
INSERT INTO strangler.secret (capability, secret, place) VALUES (%s, %s, PLACE)
ON CONFLICT (capability) DO UPDATE SET secret = excluded.secret, place = excluded.place
""".replace("PLACE", PLACE)
LEDGER = "SELECT to_jsonb(s) ->> 'ledger' FROM strangler.side s WHERE capability = %s"
# Who has the moved tables on this side, and may not read the secret yet.
READERS = """
SELECT DISTINCT pg_get_userbyid(c.relowner)::text FROM strangler.side s, unnest(s.tables) t
JOIN pg_class c ON c.oid = to_regclass(t)
WHERE s.capability = %s AND NOT has_table_privilege(c.relowner, 'strangler.secret', 'SELECT')
"""


def read(connection: Connection, capability: str) -> str | None:
    """The secret as one side has it; None where there is none yet, or only that of a database of which this is a
    copy."""
    if scalar(connection, "SELECT to_regclass('strangler.secret')") is None:
        return None
    found: str | None = scalar(connection, READ, capability)
    return found


def agree(capability: str, monolith: Connection, service: Connection) -> bool:
    """Gives both sides the same secret, and lets the owners of the moved tables read it; returns whether anything was
    changed.

    Does nothing while one of them has no place for it, because an older version of the tool has installed it, or no
    side of this capability, or that of another ledger.
    """
    sides = (monolith, service)
    ledgers = [_ledger(connection, capability) for connection in sides]
    if None in ledgers or ledgers[0] != ledgers[1]:
        return False
    changed = False
    wanted = read(monolith, capability) or secrets.token_hex(BYTES)
    for connection in sides:
        if read(connection, capability) != wanted:
            connection.execute(WRITE, (capability, wanted))
            changed = True
        for (role,) in connection.execute(READERS, (capability,)).fetchall():
            connection.execute(sql.SQL("GRANT SELECT ON strangler.secret TO {}").format(sql.Identifier(role)))
            changed = True
    return changed


def _ledger(connection: Connection, capability: str) -> str | None:
    """The id of the ledger that has made the side's row; None where a secret has no place."""
    if scalar(connection, "SELECT to_regclass('strangler.secret')") is None:
        return None
    found: str | None = scalar(connection, LEDGER, capability)
    return found
