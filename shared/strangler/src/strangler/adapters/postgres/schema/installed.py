"""Whether the functions of the schema ``strangler`` are those that this version has installed.

What an install has made is noted in the schema's comment: of each function a digest of all that decides what it does.
Its owner and who may call it are looked at apart (`owners`, `rights`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from strangler.adapters.postgres.session.connection import Connection, script

MARK = "functions"
# The languages are named: their oids differ by server.
FUNCTIONS = """
(SELECT coalesce(jsonb_agg(jsonb_build_array(replace(p.oid::regprocedure::text, ' ', '_'), left(md5(concat_ws('|',
    p.prosrc, p.probin, p.proconfig::text, p.prosecdef, p.provolatile, l.lanname, p.proisstrict, p.proleakproof,
    p.prokind, p.proretset, p.prorettype::regtype, pg_get_function_arguments(p.oid))), 12)) ORDER BY 1), '[]')
 FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = to_regnamespace('strangler'))
"""
COMMENT = "coalesce(obj_description(to_regnamespace('strangler'), 'pg_namespace'), '')"
FOUND = f"SELECT {COMMENT}, {FUNCTIONS}"
SCHEMA = "strangler."


def version(name: str) -> str:
    """How a script is told from its other versions."""
    return hashlib.sha256(script(name).encode()).hexdigest()[:16]


def read(comment: str) -> dict[str, str]:
    """What a schema's comment says: the version of each script that has run, and the digest of each function."""
    return dict(one.split("=") for one in comment.split() if "=" in one)


def notes(connection: Connection) -> dict[str, str]:
    """The functions that there are, and their digests."""
    row = connection.execute(FOUND.encode()).fetchone()
    assert row is not None
    return dict(row[1])


def altered(comment: str, functions: Sequence[tuple[str, str]]) -> list[str]:
    """Functions that are gone or not what they were when they were installed, by what a schema's ``comment`` says.

    Nothing is known of what another version has installed: the next switch brings it up to date.
    """
    noted = read(comment)
    if any(noted.get(name) != version(name) for name in ("side", "fence")):
        return []
    present = dict(functions)
    return sorted(name for name, digest in noted.items() if name.startswith(SCHEMA) and present.get(name) != digest)


def replaced(connection: Connection) -> list[str]:
    """The same, asked of a database."""
    row = connection.execute(FOUND.encode()).fetchone()
    assert row is not None
    return altered(row[0], row[1])
