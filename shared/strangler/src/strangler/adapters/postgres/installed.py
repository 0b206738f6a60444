"""Whether the functions of the schema ``strangler`` are those that this version installs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache

from strangler.adapters.postgres.connection import Connection, script

MARK = "functions"
FUNCTION = re.compile(r"CREATE OR REPLACE FUNCTION strangler\.(\w+)\(.*?AS \$\$(.*?)\$\$", re.DOTALL)
FOUND = """
SELECT coalesce(obj_description(to_regnamespace('strangler'), 'pg_namespace'), ''),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(p.proname, md5(p.prosrc))), '[]') FROM pg_proc p
        WHERE p.pronamespace = to_regnamespace('strangler'))
"""


def version(name: str) -> str:
    """How a script is told from its other versions."""
    return hashlib.sha256(script(name).encode()).hexdigest()[:16]


@cache
def shipped() -> frozenset[tuple[str, str]]:
    """Name and digest of each function that every side has."""
    return frozenset(
        (name, hashlib.md5(body.encode(), usedforsecurity=False).hexdigest())
        for name, body in FUNCTION.findall(script("side"))
    )


def altered(comment: str, functions: Sequence[Sequence[str]]) -> list[str]:
    """Functions that are missing or have another body, by what a schema's ``comment`` says of its version.

    Nothing is known of what another version has installed: the next switch brings it up to date.
    """
    if f"side={version('side')}" not in comment.split():
        return []
    present = {(name, digest) for name, digest in functions}
    return sorted({f"strangler.{name}()" for name, _ in shipped() - present})


def replaced(connection: Connection) -> list[str]:
    """The same, asked of a database."""
    row = connection.execute(FOUND).fetchone()
    assert row is not None
    return altered(row[0], row[1])
