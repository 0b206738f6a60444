"""Slots, triggers, sequences and tables that should not be as they are."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from psycopg import sql

from strangler.adapters.postgres.schema import owners
from strangler.adapters.postgres.session.connection import Connection, connect, database_of, scalar
from strangler.adapters.postgres.tables import catalog, sequences
from strangler.domain import names
from strangler.domain.project import MONOLITH, Project
from strangler.ports.examination import Examination, Stray

RETAINED_BYTES = 1024**3
# What it is, and either its name or the capability for which its trigger was made.
LEAVINGS = r"""
SELECT 'slot ' || slot_name, slot_name, NULL FROM pg_replication_slots
WHERE slot_name LIKE 'strangler\_%%' AND database = current_database()
UNION ALL SELECT 'publication ' || pubname, pubname, NULL FROM pg_publication WHERE pubname LIKE 'strangler\_%%'
UNION ALL SELECT 'subscription ' || subname, subname, NULL FROM pg_subscription s
    JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database() WHERE subname LIKE 'strangler\_%%'
UNION ALL SELECT 'origin ' || roname, roname, NULL FROM pg_replication_origin WHERE roname LIKE 'strangler\_%%'
UNION ALL SELECT 'trigger ' || tgname || ' on ' || regexp_replace(tgrelid::regclass::text, '^public[.]', ''), tgname,
        split_part(encode(tgargs, 'escape'), '\000', 1)
    FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid JOIN pg_class c ON c.oid = tgrelid
    WHERE (tgname = ANY (%s) OR p.pronamespace = to_regnamespace('strangler'))
      AND c.relnamespace IS DISTINCT FROM to_regnamespace('strangler')
"""
SIDES = "SELECT capability FROM strangler.side"
STRAYS = """
SELECT method, route, times, seen_at FROM strangler.stray
WHERE capability = %s AND seen_at > clock_timestamp() - interval '7 days' ORDER BY seen_at DESC
"""
SEQUENCES = """
SELECT place, relation::text, attribute, strangler.reached(sequence), seqincrement > 0, seqmin, seqmax, sequence::text
FROM strangler.sequences(%s) JOIN pg_sequence ON seqrelid = sequence WHERE whole AND NOT seqcycle
"""
FURTHEST = "SELECT coalesce({most}({column}), {reached}) FROM {table} WHERE {column} BETWEEN {low} AND {high}"


class PostgresExamination(Examination):
    """``dsns`` by the database's name."""

    def __init__(self, project: Project, dsns: Mapping[str, str]) -> None:
        self.project = project
        self._sessions: dict[str, Connection] = {
            name: owners.trusted(connect(dsn, purpose="doctor")) for name, dsn in dsns.items()
        }
        self._databases = {database_of(connection) for connection in self._sessions.values()}

    def close(self) -> None:
        """One session per database."""
        for connection in self._sessions.values():
            connection.close()

    def leavings(self, known: set[str]) -> list[tuple[str, str]]:
        """Found by the tool's names; triggers are found by the functions that they call."""
        found = []
        for place, connection in self._sessions.items():
            for what, name, capability in connection.execute(LEAVINGS.encode(), (list(names.TRIGGERS),)).fetchall():
                if self._left(what, name, connection) and capability not in known and not self._known(name, known):
                    found.append((place, what))
            if scalar(connection, "SELECT to_regclass('strangler.side')") is not None:
                rows = connection.execute(SIDES).fetchall()
                found += [(place, f"side row {row[0]}") for row in rows if row[0] not in known]
        return found

    def _known(self, name: str, known: set[str]) -> bool:
        # A subscription bears the name of its sender's database.
        return any(names.belongs(name, database, each) for database in self._databases for each in known)

    def _left(self, what: str, name: str, connection: Connection) -> bool:
        """An origin belongs to the server: one with the name of another database of this server is not ours."""
        if not what.startswith("origin "):
            return True
        others = connection.execute("SELECT datname FROM pg_database WHERE datname <> current_database()").fetchall()
        here = names.of_database(name, database_of(connection))
        return here or not any(names.of_database(name, database) for (database,) in others)

    def retained(self) -> list[tuple[str, str]]:
        """By ``pg_replication_slots``."""
        found = []
        for place, connection in self._sessions.items():
            rows = connection.execute(
                r"""SELECT slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
                    FROM pg_replication_slots
                    WHERE slot_name LIKE 'strangler\_%' AND database = current_database()"""
            ).fetchall()
            for name, active, kept in rows:
                if not active or (kept or 0) > RETAINED_BYTES:
                    reader = "is read" if active else "has no reader"
                    found.append((place, f"slot {name} {reader} and keeps {kept or 0:,} bytes of WAL"))
        return found

    def sequences_behind(self, capability: str, owner: str) -> list[tuple[str, str]]:
        """Asks for the furthest row of each column that is numbered; of nobody where the tool's schema is gone."""
        name = self.project.ledger if owner == MONOLITH else self.project.capabilities[capability].database
        connection = self._sessions[name]
        if scalar(connection, "SELECT to_regprocedure('strangler.sequences(text)')") is None:
            return []
        found = []
        rows = connection.execute(SEQUENCES, (capability,)).fetchall()
        for place, relation, column, before, rising, low, high, sequence in rows:
            query = sql.SQL(FURTHEST).format(
                most=sql.SQL("max" if rising else "min"),
                column=sql.Identifier(column),
                reached=before,
                table=sql.SQL(relation),
                low=low,
                high=high,
            )
            furthest = scalar(connection, query)
            # It may have given out numbers to rows that were seen just now; so it is asked once more, after the rows.
            reached = scalar(connection, "SELECT strangler.reached(%s::regclass)", sequence)
            if furthest > reached if rising else furthest < reached:
                told = f"{place} stands at {reached} and the table at {furthest}: inserts get numbers that rows have"
                # Whoever runs it later must not turn back what has gone on meanwhile.
                statement = sql.SQL("SELECT setval({}, {}(last_value, {})) FROM {}").format(
                    sequence, sql.SQL("greatest" if rising else "least"), furthest, sql.SQL(sequence)
                )
                found.append((told, f"run in the {owner}'s database: {statement.as_string(connection)}"))
        return found

    def strays(self, capability: str) -> list[Stray]:
        """The applications' middleware notes them in ``strangler.stray``."""
        found = []
        for place, connection in self._sessions.items():
            # An older version of the tool has not made the table.
            if scalar(connection, "SELECT to_regclass('strangler.stray')") is not None:
                rows = connection.execute(STRAYS, (capability,)).fetchall()
                found += [Stray(place, *row) for row in rows]
        return sorted(found, key=lambda stray: stray.seen_at, reverse=True)

    def unplaced(self) -> list[str]:
        """By the catalogue, held against ``strangler.toml``."""
        placed = {table for each in self.project.capabilities.values() for table in each.tables}
        loose = sequences.unplaced(self._sessions[self.project.ledger], self.project)
        return [f"sequence {name}" for name in loose] + [
            table
            for table in catalog.all_tables(self._sessions[self.project.ledger])
            if table not in placed and not any(fnmatchcase(table, pattern) for pattern in self.project.stays)
        ]
