"""Functions and collations that the rules of a table use, directly or not: they decide what the table accepts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strangler.adapters.postgres.session.connection import Connection
from strangler.adapters.postgres.tables.expressions import bare, meaning, words

# From constraints, defaults, generated columns, policies, partition keys and unique indexes by way of operators, their
# classes, types and the bodies that the server has parsed. An object of an extension is the extension's own affair, and
# so is all that it uses. A constraint that is not enforced uses nothing.
REACHED = """
WITH RECURSIVE reached (relation, of_key, class, object) AS (
    SELECT c.oid, false, 'pg_class'::regclass::oid, c.oid FROM pg_class c WHERE c.oid = ANY (%(oids)s::oid[])
    UNION SELECT k.conrelid, k.contype = 'x', 'pg_constraint'::regclass, k.oid FROM pg_constraint k
        WHERE k.conrelid = ANY (%(oids)s::oid[]) AND k.contype IN ('c', 'x')
        AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
    UNION SELECT d.adrelid, false, 'pg_attrdef'::regclass, d.oid FROM pg_attrdef d
        WHERE d.adrelid = ANY (%(oids)s::oid[])
    UNION SELECT x.indrelid, true, 'pg_class'::regclass, x.indexrelid FROM pg_index x
        WHERE x.indrelid = ANY (%(oids)s::oid[]) AND (x.indisunique OR x.indisexclusion)
        AND x.indisvalid AND x.indislive
    UNION SELECT p.polrelid, false, 'pg_policy'::regclass, p.oid FROM pg_policy p
        JOIN pg_class c ON c.oid = p.polrelid AND c.relrowsecurity WHERE p.polrelid = ANY (%(oids)s::oid[])
    UNION
    SELECT r.relation, r.of_key, n.class, n.object FROM reached r CROSS JOIN LATERAL (
        SELECT d.refclassid AS class, d.refobjid AS object FROM pg_depend d
        WHERE d.classid = r.class AND d.objid = r.object AND d.refobjid >= 16384 AND d.refclassid IN (
            'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_type'::regclass,
            'pg_collation'::regclass)
        UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
            WHERE r.class = 'pg_type'::regclass AND k.contypid = r.object
        UNION ALL SELECT 'pg_class'::regclass, t.typrelid FROM pg_type t
            WHERE r.class = 'pg_type'::regclass AND t.oid = r.object AND t.typrelid <> 0
        UNION ALL SELECT 'pg_proc'::regclass, p.amproc::oid FROM pg_opclass c JOIN pg_amproc p
            ON p.amprocfamily = c.opcfamily AND p.amproclefttype = c.opcintype AND p.amprocrighttype = c.opcintype
            WHERE r.class = 'pg_opclass'::regclass AND c.oid = r.object AND p.amproc::oid >= 16384
        UNION ALL SELECT 'pg_operator'::regclass, o.amopopr FROM pg_opclass c JOIN pg_amop o
            ON o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
            WHERE r.class = 'pg_opclass'::regclass AND c.oid = r.object AND o.amopopr >= 16384
    ) n
    WHERE NOT EXISTS (
        SELECT FROM pg_depend e WHERE e.classid = n.class AND e.objid = n.object AND e.deptype = 'e')
)
SELECT relation::int8, class::regclass::text, object::int8, bool_and(of_key) FROM reached
WHERE class IN ('pg_proc'::regclass, 'pg_collation'::regclass) GROUP BY relation, class, object
"""
# The names of a function's arguments matter in its body; its cost, and where it may run, do not.
FUNCTIONS = """
SELECT p.oid::int8, p.proname::text, ARRAY(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) a), l.lanname::text,
       p.prosrc, pg_get_function_sqlbody(p.oid), p.probin, pg_get_function_identity_arguments(p.oid),
       pg_get_function_result(p.oid), p.proisstrict, p.provolatile::text, p.prosecdef,
       ARRAY(SELECT one FROM unnest(p.proconfig) one WHERE one NOT LIKE 'search_path=%%' ORDER BY one)
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = ANY (%s::oid[])
"""
COLLATIONS = "SELECT oid::int8, collname::text FROM pg_collation WHERE oid = ANY (%s::oid[])"


@dataclass(slots=True)
class Asked:
    """What is used under one name: several ``definitions``, as several schemas may have the name.

    ``of_key``: only a unique key or an exclusion uses it.
    """

    definitions: set[str] = field(default_factory=set)
    of_key: bool = True


def read(connection: Connection, oids: Sequence[int], collations: Mapping[int, str]) -> dict[int, dict[str, Asked]]:
    """What each of these tables uses, by the table's name; ``collations`` has descriptions by oid."""
    rows = connection.execute(REACHED, {"oids": list(oids)}).fetchall()
    named: dict[tuple[str, int], tuple[str, str]] = {}
    functions = sorted({oid for _, kind, oid, _ in rows if kind == "pg_proc"})
    for oid, name, arguments, *rest in connection.execute(FUNCTIONS, (functions,)).fetchall():
        named["pg_proc", oid] = f"{name}({', '.join(map(bare, arguments))})", _function(*rest)
    others = sorted({oid for _, kind, oid, _ in rows if kind == "pg_collation"})
    for oid, name in connection.execute(COLLATIONS, (others,)).fetchall():
        named["pg_collation", oid] = f"collation {name}", collations[oid]
    found: dict[int, dict[str, Asked]] = defaultdict(dict)
    for relation, kind, oid, of_key in rows:
        name, definition = named[kind, oid]
        asked = found[relation].setdefault(name, Asked())
        asked.definitions.add(definition)
        asked.of_key &= of_key
    return found


def _function(language: str, source: str, body: str | None, *described: Any) -> str:
    library, arguments, result, *flags = described
    text = meaning(body, apart=None) if body else _source(language, source)
    return repr((language, text, library, bare(arguments), bare(result), *flags))


def _source(language: str, source: str) -> str:
    """The text without its layout, which decides nothing."""
    if language not in ("sql", "plpgsql"):
        return source
    # The end of a line ends a comment, so lines must stay apart.
    lines = source.split("\n") if "--" in source else [re.sub(r"\n", " ", source)]
    return "\n".join(told for line in lines if (told := " ".join(words(line))))
