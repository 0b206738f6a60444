"""The road on own servers: two of PostgreSQL, and a role that has only the rights which the page names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.elsewhere import numbers
from tests.elsewhere.road import Road, blocks, commands
from tests.suites import postgres

GRANTS = "4. Grant the rights"
MOVE = "8. Rehearse, then move"
NAMES = ("monolith", "loans")  # as strangler.toml has the databases
# What takes each right away again, and how preflight calls it.
RIGHTS = {
    "ALTER ROLE mover REPLICATION": ("ALTER ROLE mover NOREPLICATION", "the REPLICATION attribute"),
    "GRANT CREATE ON DATABASE": ("", "CREATE on the database"),
    "GRANT pg_create_subscription": ("", "membership in pg_create_subscription"),
    "GRANT pg_read_all_stats": ("", "membership in pg_read_all_stats"),
    "GRANT SET ON PARAMETER session_replication_role": ("", "SET on session_replication_role"),
    "GRANT EXECUTE ON FUNCTION pg_replication_origin_create": ("", "the replication origin functions"),
    "GRANT app TO mover": ("", "the role mover does not own"),
}


# What the settings read, where no stack gives it.
SETTINGS = f"SECRET_KEY={'k' * 50} IDENTITY_SECRET={'5' * 64} WEB_URL=http://127.0.0.1:1 SERVICE_KEY_FILE=/dev/null"


@dataclass(frozen=True)
class Server:
    """A server with the roles of the page; ``root`` is the address of its superuser."""

    root: str
    database: str

    def address(self, role: str) -> str:
        """That of a role, whose password is its name."""
        given = conninfo_to_dict(self.root)
        return f"postgresql://{role}:{role}@{given['host']}:{given['port']}/{self.database}"

    def run(self, statement: str) -> None:
        given = {**conninfo_to_dict(self.root), "dbname": self.database}
        with psycopg.connect(**given, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(statement.encode())


def statements(database: str) -> list[str]:
    """Those by which the page makes the role that moves, in one database of ours."""
    (text,) = [each for each in blocks(GRANTS, "sql") if "CREATE ROLE mover" in each]
    text = re.sub(r"--.*", "", text).replace("'…'", "'mover'").replace("DATABASE billing", f"DATABASE {database}")
    return [" ".join(each.split()) for each in text.split(";") if each.strip()]


@pytest.fixture
def servers() -> Iterator[Mapping[str, Server]]:
    """Empty databases of the role `app`, and the mover with what the page gives it."""
    with ExitStack() as stack:
        made = {}
        for name in NAMES:
            root = stack.enter_context(postgres())["DATABASE_URL"]
            database = "library" if name == "monolith" else name
            with psycopg.connect(root, autocommit=True) as connection:
                connection.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            made[name] = Server(root, database)
            for each in ("GRANT USAGE, CREATE ON SCHEMA public TO app", *statements(database)):
                made[name].run(each)
        yield made


@pytest.fixture
def there(laid: Road, servers: Mapping[str, Server], tmp_path: Path) -> Road:
    """The road again, up to the first start, with addresses of own servers."""
    made = laid.elsewhere(
        tmp_path / "library",
        **{f"{name.upper()}_DATABASE_URL": server.address("mover") for name, server in servers.items()},
        **{f"{name.upper()}_APP_URL": server.address("app") for name, server in servers.items()},
    )
    # Where `up` runs the processes: they work as the role that owns the tables, and not as the tool's.
    file = made.folder / "strangler.toml"
    file.write_text(re.sub(r'url_env = "(\w+)_DATABASE_URL"\n', r'\g<0>app_url_env = "\1_APP_URL"\n', file.read_text()))
    return made


def test_the_rights_that_the_page_names_are_enough_and_each_is_needed(
    there: Road, servers: Mapping[str, Server]
) -> None:
    for name, folder in zip(NAMES, (".", "services/loans"), strict=True):
        given = f"{SETTINGS} DATABASE_URL={servers[name].address('app')}"
        there.type(f"env {given} python manage.py migrate --noinput", within=folder)
    numbers.type_page(there.folder, *(servers[name].address("app") for name in NAMES))
    assert json.loads(there.type("strangler preflight loans --json"))["ready"]

    for number in range(1, len(statements("library"))):
        server = servers[NAMES[number % 2]]
        statement = statements(server.database)[number]
        ((undone, called),) = [right for beginning, right in RIGHTS.items() if statement.startswith(beginning)]
        server.run(undone or re.sub(r" TO mover.*", " FROM mover", statement.replace("GRANT", "REVOKE", 1)))
        said = json.loads(there.type("strangler preflight loans --json", code=2))
        server.run(statement)

        assert called in " ".join(each["message"] for each in said["findings"] if each["severity"] == "error"), called
    assert json.loads(there.type("strangler preflight loans --json"))["ready"]


@pytest.mark.soak
def test_a_whole_move_needs_no_other_right(there: Road, servers: Mapping[str, Server]) -> None:
    with there.stack.ending():
        there.type("strangler up --detach --data sample")
        numbers.type_page(there.folder, *(servers[name].address("app") for name in NAMES))
        for line in commands(MOVE):
            there.type(line)
        status = json.loads(there.type("strangler status --json"))
        with psycopg.connect(servers["monolith"].root, dbname="library") as connection:
            superuser = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'mover'").fetchone()

    assert status["capabilities"]["loans"]["owner"] == "service"
    assert superuser == (False,)
