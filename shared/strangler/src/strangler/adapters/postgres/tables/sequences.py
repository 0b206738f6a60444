"""Sequences: those that move with a capability, and what could make one give out a number twice, or none at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from strangler.adapters.postgres.session.connection import Connection, describe
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import ConfigurationError, PreflightError
from strangler.domain.project import Capability, Project

# The column that uses a sequence: the column owns the sequence, or the column's default names it.
USES = """
SELECT d.refobjid AS relation, d.refobjsubid::smallint AS attribute, d.objid AS sequence FROM pg_depend d
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
  AND d.deptype IN ('a', 'i')
UNION
SELECT f.adrelid, f.adnum, d.refobjid FROM pg_attrdef f
JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
"""
# Everything that runs when a row of a table is written: the catalog's objects whose expression or function runs then.
RUNS = """
SELECT f.adrelid AS relation, 'pg_attrdef'::regclass AS catalog, f.oid AS object FROM pg_attrdef f
UNION ALL SELECT g.tgrelid, 'pg_trigger'::regclass, g.oid FROM pg_trigger g WHERE NOT g.tgisinternal
UNION ALL SELECT k.conrelid, 'pg_constraint'::regclass, k.oid FROM pg_constraint k
    WHERE k.contype = 'c' AND k.conrelid <> 0
UNION ALL SELECT w.ev_class, 'pg_rewrite'::regclass, w.oid FROM pg_rewrite w WHERE w.rulename <> '_RETURN'
UNION ALL (
    WITH RECURSIVE domain AS (
        SELECT a.attrelid AS relation, a.atttypid AS type FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION SELECT d.relation, t.typbasetype FROM domain d JOIN pg_type t ON t.oid = d.type AND t.typtype = 'd'
    )
    SELECT d.relation, 'pg_type'::regclass, d.type FROM domain d JOIN pg_type t ON t.oid = d.type AND t.typtype = 'd'
    UNION ALL SELECT d.relation, 'pg_constraint'::regclass, k.oid
    FROM domain d JOIN pg_constraint k ON k.contypid = d.type
)
"""
# A sequence `s` that does not belong to the system, the tool or an extension.
OTHERS = """
n.nspname NOT IN ('information_schema', 'strangler') AND NOT starts_with(n.nspname, 'pg_') AND NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = s.oid AND e.deptype = 'e')
"""
# A function `p` names the sequence, in a word of its text or in a dependency that the catalog knows.
ASKS = r"""
p.pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'strangler')) AND (
    p.prosrc ~ ('\y' || regexp_replace(s.relname, '\W', '\\\&', 'g') || '\y')
    OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid
               AND e.refclassid = 'pg_class'::regclass AND e.refobjid = s.oid))
"""


def _filled(query: str) -> str:
    """Puts in the expressions that several queries share, for a sequence ``s`` in the namespace ``n``; NAME is its name
    as strangler.toml spells it."""
    name = "CASE WHEN n.nspname = 'public' THEN s.relname ELSE n.nspname || '.' || s.relname END"
    for word, text in {"USES": USES, "RUNS": RUNS, "OTHERS": OTHERS, "ASKS": ASKS, "NAME": name}.items():
        query = query.replace(f"<{word}>", text)
    return query


NUMBERED = _filled("""
SELECT place, <NAME>, format('%%I.%%I', n.nspname, s.relname), q.seqtypid::regtype::text,
       q.seqincrement, q.seqmin, q.seqmax, q.seqcycle,
       has_sequence_privilege(s.oid, 'SELECT') AND has_sequence_privilege(s.oid, 'UPDATE'), relation, attribute
FROM (
    SELECT format('%%I.%%I.%%I', tn.nspname, c.relname, a.attname)
               || CASE WHEN count(*) OVER (PARTITION BY c.oid, a.attnum) > 1
                       THEN format(' from %%I.%%I', wn.nspname, w.relname) ELSE '' END AS place,
           u.sequence, format('%%I.%%I', tn.nspname, c.relname) AS relation,
           CASE WHEN a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) AND EXISTS (
               SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indpred IS NULL
           ) THEN a.attname END AS attribute
    FROM (<USES>) u JOIN pg_class w ON w.oid = u.sequence AND w.relkind = 'S'
    JOIN pg_namespace wn ON wn.oid = w.relnamespace
    JOIN pg_class c ON c.oid = u.relation AND NOT c.relispartition AND c.oid = ANY (%(tables)s::oid[])
    JOIN pg_namespace tn ON tn.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attribute
    UNION ALL
    SELECT 'sequence ' || format('%%I.%%I', n.nspname, s.relname), s.oid, NULL, NULL
    FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE s.relkind = 'S' AND <NAME> = ANY (%(named)s::text[])
) each JOIN pg_class s ON s.oid = each.sequence JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_sequence q ON q.seqrelid = s.oid
ORDER BY place
""")
LOOSE = _filled("""
SELECT <NAME>, (
    SELECT string_agg(DISTINCT p.oid::regproc::text, ', ') FROM pg_proc p WHERE <ASKS>)
FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE s.relkind = 'S' AND <OTHERS>
  AND NOT EXISTS (SELECT FROM (<USES>) u WHERE u.sequence = s.oid)
ORDER BY 1
""")
SHARED = _filled("""
WITH uses AS (<USES>),
ours AS (
    SELECT u.sequence FROM uses u WHERE u.relation = ANY (%(tables)s::oid[])
    UNION SELECT s.oid FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
        WHERE s.relkind = 'S' AND <NAME> = ANY (%(named)s::text[])
)
SELECT DISTINCT <NAME>, u.relation::regclass || '.' || a.attname
FROM ours JOIN uses u USING (sequence) JOIN pg_class s ON s.oid = u.sequence AND s.relkind = 'S'
JOIN pg_namespace n ON n.oid = s.relnamespace JOIN pg_attribute a ON a.attrelid = u.relation AND a.attnum = u.attribute
WHERE u.relation <> ALL (%(tables)s::oid[])
UNION
SELECT <NAME>, format('%%s, by %%s', r.relation::regclass, pg_describe_object(r.catalog, r.object, 0))
FROM ours JOIN pg_class s ON s.oid = ours.sequence JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN (<RUNS>) r ON r.relation <> ALL (%(tables)s::oid[]) AND r.catalog <> 'pg_attrdef'::regclass
JOIN pg_depend d ON d.classid = r.catalog AND d.objid = r.object
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
UNION
SELECT <NAME>, format('%%s, by the function %%s', r.relation::regclass, p.oid::regproc)
FROM ours JOIN pg_class s ON s.oid = ours.sequence JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_proc p ON <ASKS>
JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
JOIN (<RUNS>) r ON r.catalog = d.classid AND r.object = d.objid AND r.relation <> ALL (%(tables)s::oid[])
ORDER BY 1, 2
""")
# The sequences that are used when a moved table is written, each with the name of the function or object that uses it.
ASKED = _filled("""
WITH runs AS (<RUNS>), asking AS (
    SELECT r.catalog, r.object FROM runs r WHERE r.relation = ANY (%(tables)s::oid[])
)
SELECT DISTINCT <NAME>, found.who FROM (
    SELECT s.oid AS sequence, p.oid::regproc::text AS who FROM asking a
    JOIN pg_depend d ON d.classid = a.catalog AND d.objid = a.object AND d.refclassid = 'pg_proc'::regclass
    JOIN pg_proc p ON p.oid = d.refobjid JOIN pg_class s ON s.relkind = 'S' AND <ASKS>
    UNION
    SELECT d.refobjid, pg_describe_object(a.catalog, a.object, 0) FROM asking a
    JOIN pg_depend d ON d.classid = a.catalog AND d.objid = a.object AND d.refclassid = 'pg_class'::regclass
    WHERE a.catalog <> 'pg_attrdef'::regclass
) found JOIN pg_class s ON s.oid = found.sequence AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE <OTHERS> AND NOT EXISTS (SELECT FROM (<USES>) u WHERE u.sequence = s.oid AND u.relation = ANY (%(tables)s::oid[]))
  AND NOT <NAME> = ANY (%(named)s::text[]) ORDER BY 1, 2
""")
UNKNOWN = """
SELECT to_jsonb(s) -> 'sequences' IS NOT NULL AND to_jsonb(s) -> 'sequences' <> to_jsonb(%s::text[])
FROM strangler.side s WHERE capability = %s
"""


@dataclass(frozen=True, slots=True)
class Numbering:
    """A sequence that moves: ``place`` is the column that it numbers, or the sequence itself.

    ``attribute`` is that column if it is a whole number with an index: then its highest or lowest value is found
    quickly.
    """

    place: str
    name: str
    qualified: str
    type: str
    increment: int
    least: int
    most: int
    cycling: bool
    allowed: bool
    relation: str | None
    attribute: str | None

    @property
    def rising(self) -> bool:
        """Whether it counts upwards."""
        return self.increment > 0


def read(connection: Connection, tables: Sequence[Table], named: Sequence[str]) -> dict[str, Numbering]:
    """The sequences that move with these tables, by their places."""
    values = {"tables": [table.oid for table in tables], "named": list(named)}
    rows = connection.execute(NUMBERED.encode(), values).fetchall()
    return {row[0]: Numbering(*row) for row in rows}


def name_in_side(connection: Connection, capability: Capability) -> bool:
    """Writes the sequences that strangler.toml names into the side's row; returns whether it had others."""
    named = [each.qualified for each in read(connection, [], capability.sequences).values()]
    row = connection.execute(UNKNOWN, (named, capability.name)).fetchone()
    if row is None or not row[0]:
        return False
    connection.execute("UPDATE strangler.side SET sequences = %s WHERE capability = %s", (named, capability.name))
    return True


def unplaced(connection: Connection, project: Project) -> list[str]:
    """Sequences of the monolith that no column names and that are listed neither as moving nor as staying, each with
    what uses it."""
    moving = {sequence for capability in project.capabilities.values() for sequence in capability.sequences}
    return [
        f"{name} (named in {asking})" if asking else name
        for name, asking in connection.execute(LOOSE.encode()).fetchall()
        if name not in moving and not _stays(name, project)
    ]


def every_sequence_placed(connection: Connection, project: Project) -> None:
    """Each sequence that no column names moves with a capability, or is listed as staying.

    Raises:
        ConfigurationError: naming sequences that are not listed, and functions that name them.
    """
    lost = unplaced(connection, project)
    if lost:
        raise ConfigurationError(
            f"no column names these sequences, and nothing says where they belong: {', '.join(lost)}",
            place="strangler.toml: stays.sequences",
            remedy="add each to the sequences of the capability whose rows it numbers, or to stays.sequences, or "
            "drop it: one that does not move starts anew in the service",
            id="sequence-without-place",
        )


def present(connection: Connection, capability: Capability, *, database: str) -> None:
    """Refuses if a named sequence is not there.

    Raises:
        ConfigurationError: naming that sequence.
    """
    for name in lacking(connection, capability):
        raise ConfigurationError(
            f"there is no sequence {name} in the database {database}",
            place=f"strangler.toml: capabilities.{capability.name}.sequences",
            remedy="run its migrations, or name one that is there",
            id="sequence-missing",
        )


def lacking(connection: Connection, capability: Capability) -> list[str]:
    """Named sequences that are not there."""
    found = {each.name for each in read(connection, [], capability.sequences).values()}
    return [name for name in capability.sequences if name not in found]


def shared(connection: Connection, capability: Capability, tables: Sequence[Table]) -> list[str]:
    """Sequences of the capability that rows of other tables use, too."""
    values = {"tables": [table.oid for table in tables], "named": list(capability.sequences)}
    rows = connection.execute(SHARED.encode(), values).fetchall()
    return [f"{name} also numbers {column}" for name, column in rows]


def asked(connection: Connection, project: Project, capability: Capability, tables: Sequence[Table]) -> list[str]:
    """Sequences that do not move, but are used when a moved table is written."""
    values = {"tables": [table.oid for table in tables], "named": list(capability.sequences)}
    rows = connection.execute(ASKED.encode(), values).fetchall()
    return [f"{function} asks {name}" for name, function in rows if not _stays(name, project)]


def own(connection: Connection, project: Project, capability: Capability, tables: Sequence[Table]) -> None:
    """Refuses if something that does not move uses a sequence of the capability, or the other way round.

    Raises:
        PreflightError: naming the sequence and what else uses it.
    """
    place = describe(connection.info.dsn)
    if found := shared(connection, capability, tables):
        raise PreflightError(
            f"a sequence would give out a number twice, here and in the service: {', '.join(found)}",
            place=place,
            remedy="give each table a sequence of its own (CREATE SEQUENCE, setval past what there is, ALTER TABLE … "
            "ALTER … SET DEFAULT nextval(…)), or move the tables together",
            id="sequence-shared",
        )
    if found := asked(connection, project, capability, tables):
        raise PreflightError(
            "what runs when a moved table is written asks a sequence that does not move: " + ", ".join(found),
            place=place,
            remedy=f"give it a sequence of its own, named at capabilities.{capability.name}.sequences; "
            "list it at stays.sequences where the text only looks so",
            id="sequence-shared",
        )


def _stays(name: str, project: Project) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in project.staying_sequences)
