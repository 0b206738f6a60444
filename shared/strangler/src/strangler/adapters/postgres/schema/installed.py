"""Checks whether the functions of the schema ``strangler`` are those that this version has installed.

An install notes in the schema's comment a digest of each function, of everything that decides what the function does.
Other modules check its owner (`owners`) and who may call it (`rights`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from strangler.adapters.postgres.session.connection import Connection, script

MARK = "functions"
# Languages stand by name, for their oids differ by server.
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
    """The mark that tells a script from its other versions."""
    return hashlib.sha256(script(name).encode()).hexdigest()[:16]


def read(comment: str) -> dict[str, str]:
    """Reads from a schema's comment the version of each script that has run, and the digest of each function."""
    return dict(one.split("=") for one in comment.split() if "=" in one)


def notes(connection: Connection) -> dict[str, str]:
    """The functions that exist now, and their digests."""
    row = connection.execute(FOUND.encode()).fetchone()
    assert row is not None
    return dict(row[1])


def altered(comment: str, functions: Sequence[tuple[str, str]]) -> list[str]:
    """Functions that are gone or have changed since they were installed, according to a schema's ``comment``.

    Nothing is known about functions that another version has installed: the next switch brings them up to date.
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
