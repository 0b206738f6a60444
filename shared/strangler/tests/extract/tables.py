"""The tables that the migrations of a project make, as the database knows them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from servers import Cluster

# For the settings of a project: its database is the one that `migrated` names.
DATABASE = (
    'import json, os; DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", '
    '**json.loads(os.environ.get("TABLES_DATABASE") or \'{"NAME": "none"}\')}}'
)
COLUMNS = """
SELECT column_name, data_type, character_maximum_length, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_name = %s ORDER BY column_name
"""
INDEXES = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass"
CONSTRAINTS = """
SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.confrelid
WHERE k.conrelid = %s::regclass AND (k.contype IN ('p', 'u', 'c') OR c.relname = ANY (%s))
"""
OUTSIDE = """
SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid
WHERE k.contype = 'f' AND k.conrelid = %s::regclass AND c.relname <> ALL (%s)
"""


def at(cluster: Cluster, database: str) -> Mapping[str, str]:
    """What a project's environment needs so that it uses this database."""
    known = conninfo_to_dict(cluster.dsn(database))
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    told = {name: str(known.get(key, "")) for name, key in names.items()}
    url = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**told)
    return {"TABLES_DATABASE": json.dumps(told), "DATABASE_URL": url}


def migrated(folder: Path, cluster: Cluster, database: str, **more: str) -> None:
    """Runs the project's migrations on an empty database."""
    cluster.create(database)
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput"],
        cwd=folder,
        env={**known, **more, **at(cluster, database)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def tables(cluster: Cluster, database: str, names: Collection[str]) -> Mapping[str, object]:
    """Columns, keys and indexes of each, without the names of keys and indexes, and without what points elsewhere."""
    found = {}
    with cluster.connect(database) as connection:
        for name in names:
            indexes = {re.sub(r"INDEX \S+ ON", "INDEX ON", row[0]) for row in connection.execute(INDEXES, (name,))}
            keys = {row[0] for row in connection.execute(CONSTRAINTS, (name, list(names)))}
            found[name] = (connection.execute(COLUMNS, (name,)).fetchall(), indexes, keys)
    return found


def pointing_elsewhere(cluster: Cluster, database: str, names: Collection[str]) -> list[str]:
    """The foreign keys of these tables to others."""
    with cluster.connect(database) as connection:
        return [row[0] for name in names for row in connection.execute(OUTSIDE, (name, list(names)))]
