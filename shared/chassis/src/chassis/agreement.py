"""What this package, the tool and the gateway have agreed upon: each of these is written here and in the tool once.

The tool makes the schema ``strangler`` (docs/reference/ledger.md); an application reads it, listens to it, and sweeps
behind what it queues. Columns that came later are looked up in the whole row, because an older version has not made
them.
"""

from __future__ import annotations

# SQLSTATE of a write that met the fence; the capability is its detail.
REFUSED = "SF001"

# Notified after every change of a side's row, and when a deletion has been queued.
SIDES_CHANNEL = "strangler_side"
ORPHANS_CHANNEL = "strangler_orphan"

# Headers by which the gateway and the two sides lead a request on.
TO = "x-strangler-to"
CAPABILITY = "x-strangler-capability"
FORWARDED = "x-strangler-forwarded"
MAX_BODY = "x-strangler-max-body"
# Which capability the gateway has sent a read of to the copy; what a tester has chosen; and where a client that keeps
# no cookies finds a position, and gives it back.
READS = "x-strangler-reads"
ROUTE = "x-strangler-route"
POSITION = "x-strangler-position"

# Cookies: the gateway's, by which a client's reads stay at one side; and those with the position of what the client
# has written, and of what it has seen. The capability's name follows.
KEPT = "strangler-reads"
WROTE = "strangler-wrote-"
SEEN = "strangler-seen-"
# What a position is signed for.
POSITIONS = "position"
# How far a copy has come: the heartbeats that have arrived, as `strangler serve` writes them, and the age of each by
# the two servers' clocks. All other markers have ids of version 4.
BEATS = """
SELECT id::text, extract(epoch FROM pg_catalog.clock_timestamp() - written_at)::float8
FROM strangler.marker WHERE capability = %s AND substr(id::text, 15, 1) = '8'
"""
# Where the owner's log ends: timeline and position.
POSITION_NOW = """
SELECT substr(pg_catalog.pg_walfile_name(at), 1, 8), pg_catalog.pg_wal_lsn_diff(at, '0/0')::text
FROM pg_catalog.pg_current_wal_insert_lsn() at
"""

# Deletions that one side sends to the other: where they are answered, the header with their signature, and for how many
# seconds a signed body counts. The tool signs with the same secret when it asks a process whether it can do this.
DELETIONS = "/.strangler/deletions"
SIGNATURE = "x-strangler-signature"
SEALED_SECONDS = 60.0
MAY_SIGN = "SELECT coalesce(has_table_privilege(to_regclass('strangler.secret'), 'SELECT'), false)"
# A copied database has the secret of the original, and must not ask the original's peers: so the place has to be right.
SIGNED_WITH = """
SELECT secret FROM strangler.secret WHERE capability = %s AND place =
    (SELECT c.system_identifier || '/' || d.oid FROM pg_control_system() c, pg_database d
     WHERE d.datname = current_database())
"""

# Sides: whether a database has any; all of them; and those whose events wait for the events of the former owner.
HAS_SIDES = "SELECT to_regclass('strangler.side') IS NOT NULL"
SIDES = """
SELECT capability, side, epoch, open, bounce_to, coalesce(peer_url, ''), routes::text, tables, pausing,
       pg_catalog.current_schemas(false)::text[], coalesce(to_jsonb(s) ->> 'reads', '{}') FROM strangler.side s
"""
EVENTS_HELD = "SELECT capability FROM strangler.side s WHERE (to_jsonb(s) ->> 'events_held')::boolean"

# The note that a request came to routes that the other side has. An older version of the tool takes no such note.
HAS_NOTE_USE = "SELECT to_regprocedure('strangler.note_use(text)') IS NOT NULL"
NOTE_USE = "SELECT strangler.note_use(%s)"

# The note that a request wrote, from a route that stays, what the other side owns: capability, method, route, how many.
HAS_NOTE_STRAY = "SELECT to_regprocedure('strangler.note_use(text,text,text,bigint)') IS NOT NULL"
NOTE_STRAY = "SELECT strangler.note_use(%s, %s, %s, %s)"

# Orphans: queued deletions. The first `start` gives the rights; until then nothing is queued.
HAS_ORPHANS = "SELECT to_regclass('strangler.orphan') IS NOT NULL"
MAY_SWEEP = "SELECT has_table_privilege('strangler.orphan', 'UPDATE') OR EXISTS (SELECT FROM strangler.orphan)"
ORPHAN_DUE = """
SELECT id, capability, table_name, key, to_jsonb(orphan) -> 'columns', to_jsonb(orphan) ->> 'relation'
FROM strangler.orphan
WHERE retry_at <= clock_timestamp() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
ORPHAN_FAILED = """
UPDATE strangler.orphan SET attempts = attempts + 1, error = %s,
       retry_at = clock_timestamp() + make_interval(secs => least(300, power(2, least(attempts, 12))))
WHERE id = %s
"""
ORPHAN_LATER = "UPDATE strangler.orphan SET retry_at = clock_timestamp() + interval '1 second' WHERE id = %s"
ORPHAN_DELETED = "DELETE FROM strangler.orphan WHERE id = %s"
SWEPT = """
INSERT INTO strangler.swept (capability, rows) VALUES (%s, 1)
ON CONFLICT (capability) DO UPDATE SET rows = swept.rows + 1
"""


def environ_key(header: str) -> str:
    """The name of a header in WSGI's environment."""
    return "HTTP_" + header.upper().replace("-", "_")
