"""Statements that run code of a table's owner: they run as that owner, and without a way back.

Note "no way back": a CHECK, a generated column, a domain, an index, a rule or a trigger of a table runs functions of
its owner in every session that writes it. If a session had taken the owner's role by SET ROLE, any of these functions
could bring it back to its own role (RESET ROLE). Inside a SECURITY DEFINER function PostgreSQL lets nobody change the
role: so a function that belongs to the owner runs the statement. The function is in the session's temporary schema. It
is made anew in the transaction that calls it, for its owner may replace it.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, describe, scalar
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import MoveError, PreflightError

# A role that has all rights anyway, and this session's own role, may run anything in the session.
OWNER = """
SELECT CASE WHEN NOT r.rolsuper AND r.rolname <> session_user THEN r.rolname::text END
FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = %s
"""
MAY_ACT = """
SELECT pg_has_role(session_user, %s, 'SET') AND has_database_privilege(%s, current_database(), 'TEMPORARY')
   AND has_database_privilege(current_user, current_database(), 'TEMPORARY')
"""
# The functions that a write calls, found in the trees of its expressions. A function is known to do no harm only if it
# is immutable and a superuser owns it. The system's own belong to a superuser, and some that are not immutable run any
# query that they are given.
FOREIGN = r"""
WITH RECURSIVE code AS (
    SELECT conbin::text AS tree FROM pg_constraint WHERE conrelid = %(table)s AND contype = 'c'
    UNION ALL SELECT d.adbin::text FROM pg_attrdef d
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
        WHERE d.adrelid = %(table)s
    UNION ALL SELECT concat(indexprs, indpred) FROM pg_index WHERE indrelid = %(table)s
    UNION ALL SELECT p.partexprs::text FROM pg_partitioned_table p
        JOIN pg_partition_ancestors(%(table)s::oid::regclass) above ON above.relid = p.partrelid
), called AS (
    SELECT function[1]::oid AS oid FROM code, regexp_matches(tree, ':(?:op)?funcid (\d+)', 'g') function
), types AS (
    SELECT atttypid AS oid FROM pg_attribute WHERE attrelid = %(table)s AND attnum > 0 AND NOT attisdropped
    UNION SELECT part.oid FROM types JOIN pg_type t ON t.oid = types.oid, LATERAL (
        SELECT t.typelem UNION SELECT t.typbasetype
        UNION SELECT rngsubtype FROM pg_range WHERE t.oid IN (rngtypid, rngmultitypid)
        UNION SELECT atttypid FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped
    ) part (oid) WHERE part.oid <> 0
)
SELECT EXISTS (SELECT FROM called LEFT JOIN pg_proc p USING (oid) LEFT JOIN pg_roles r ON r.oid = p.proowner
               WHERE p.provolatile IS DISTINCT FROM 'i' OR r.rolsuper IS NOT TRUE)
    OR EXISTS (SELECT FROM code WHERE tree ~ 'COERCETODOMAIN')
    OR EXISTS (SELECT FROM types JOIN pg_type t USING (oid) JOIN pg_roles r ON r.oid = t.typowner
               WHERE t.typtype = 'd' AND NOT r.rolsuper)
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = %(table)s)
    OR EXISTS (SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
               WHERE g.tgrelid = %(table)s AND g.tgenabled IN ('A', 'R') AND NOT g.tgisinternal
                 AND p.pronamespace IS DISTINCT FROM to_regnamespace('strangler'))
"""
ACT: LiteralString = """
SET LOCAL ROLE {owner};
CREATE OR REPLACE FUNCTION pg_temp.strangler_act(statement text) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $act$
DECLARE
    answer text;
BEGIN
    EXECUTE statement {into};
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN answer;
END $act$;
RESET ROLE;
SELECT pg_temp.strangler_act({statement});
"""
# Reading a value of a domain, or of a type with parts, can run its owner's code; so it stays text until `unstage`.
PARSED = """
WITH RECURSIVE base AS (
    SELECT attnum, attname, atttypid AS type, atttypmod AS modifier FROM pg_attribute
    WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    UNION ALL SELECT base.attnum, base.attname, t.typbasetype, t.typtypmod
    FROM base JOIN pg_type t ON t.oid = base.type AND t.typtype = 'd'
)
SELECT attname, CASE WHEN t.typtype = 'e' OR t.typtype = 'b' AND coalesce(part.typtype IN ('b', 'e'), true)
                     THEN format_type(base.type, base.modifier) ELSE 'text' END
FROM base JOIN pg_type t ON t.oid = base.type AND t.typtype <> 'd' LEFT JOIN pg_type part ON part.oid = t.typelem
ORDER BY attnum
"""
AFTERWARDS = "SET search_path = pg_catalog, pg_temp"  # a function that ran may have set another path


def stranger(connection: Connection, table: Table) -> str | None:
    """The table's owner; None if that role may do anything in this session anyway."""
    owner: str | None = scalar(connection, OWNER, table.oid)
    return owner


def require(connection: Connection, table: Table) -> str | None:
    """The same owner, after checking that this session can run statements as that role.

    Raises:
        PreflightError: naming the rights that one of the two roles lacks.
    """
    owner = stranger(connection, table)
    if owner is not None and not scalar(connection, MAY_ACT, owner, owner):
        mine, theirs = (sql.Identifier(one).as_string(connection) for one in (connection.info.user, owner))
        database = sql.Identifier(connection.info.dbname).as_string(connection)
        raise PreflightError(
            f"what writes {table.name} cannot run as its owner {owner}, and would run with the tool's rights",
            place=describe(connection.info.dsn),
            remedy=f"GRANT {theirs} TO {mine} WITH SET TRUE; "
            f"GRANT TEMPORARY ON DATABASE {database} TO {theirs}, {mine}",
            id="rights-missing",
        )
    return owner


def runs_foreign(connection: Connection, table: Table) -> bool:
    """Whether a write of the table runs code of its owner.

    The table is locked, so that the answer holds until the transaction's end.

    Raises:
        MoveError: the table is no longer the one that it was.
    """
    connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(table.sql()))
    if scalar(connection, "SELECT to_regclass(%s)::oid", table.qualified) != table.oid:
        raise MoveError(
            f"{table.name} is another table than it was a moment ago",
            place=describe(connection.info.dsn),
            remedy="run the command again once nobody renames it",
        )
    if stranger(connection, table) is None:
        return False
    row = connection.execute(FOREIGN, {"table": table.oid}).fetchone()
    assert row is not None
    return bool(row[0])


def act(connection: Connection, table: Table, statement: sql.Composed, *, asks: bool = False) -> Any:
    """Runs a statement about a table as the table's owner; see the note "no way back".

    Returns the one text that the statement answers, if it ``asks``.

    Raises:
        PreflightError: see `require`; an older version has begun the move without these rights.
    """
    owner = require(connection, table)
    if owner is None:
        answered = connection.execute(statement)
        row = answered.fetchone() if asks else None
        return None if row is None else row[0]
    batch = sql.SQL(ACT).format(
        owner=sql.Identifier(owner),
        into=sql.SQL("INTO answer" if asks else ""),
        statement=sql.Literal(statement.as_string(connection)),
    )
    with connection.transaction():
        cursor = connection.execute(batch)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        connection.execute(AFTERWARDS)
    return None if row is None else row[0]


def stage(connection: Connection, table: Table) -> sql.Composed:
    """Makes a temporary table for rows of the transaction, with column types that only parse; returns its name."""
    owner = require(connection, table)
    assert owner is not None
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in connection.execute(PARSED, (table.oid,)).fetchall()
    )
    made = sql.SQL(
        "CREATE TEMP TABLE strangler_stage ({}) ON COMMIT DROP; GRANT SELECT ON pg_temp.strangler_stage TO {}"
    )
    connection.execute(made.format(columns, sql.Identifier(owner)))
    return sql.SQL("pg_temp.{}").format(sql.Identifier("strangler_stage"))


def unstage(connection: Connection, table: Table) -> None:
    """Writes the staged rows into the table."""
    written = [column for column in table.columns if not column.generated]
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM pg_temp.strangler_stage").format(
        table.sql(),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in written),
        sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Identifier(column.name), sql.SQL(column.type)) for column in written
        ),
    )
    act(connection, table, statement)
