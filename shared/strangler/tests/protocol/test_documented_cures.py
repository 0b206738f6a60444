"""The SQL that a page tells people to run does what the page says, on the tables that Django makes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from servers import Cluster
from strangler.stack.postgres import binary

PAGE = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "when-something-is-wrong.md"
TYPES = "SELECT id, app_label, model FROM django_content_type"
MEANT = """
SELECT 'permission', t.app_label, t.model, p.codename FROM auth_permission p JOIN django_content_type t
    ON t.id = p.content_type_id
UNION ALL
SELECT 'entry', t.app_label, t.model, e.object_repr FROM django_admin_log e JOIN django_content_type t
    ON t.id = e.content_type_id
"""
MIGRATE = """
import json, sys
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib." + name for name in ("sessions", "contenttypes", "auth", "admin")],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **json.loads(sys.argv[1])}},
    USE_TZ=True,
)
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""


def test_content_types_get_the_numbers_of_the_monolith(cluster: Cluster, tmp_path: Path) -> None:
    cluster.create("renumbered")
    try:
        migrate(cluster.dsn("renumbered"))
        with cluster.connect("renumbered") as connection:
            connection.execute(
                "INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, "
                "is_active, date_joined) VALUES (1, '', true, 'ada', '', '', '', true, true, now())"
            )
            connection.execute(
                "INSERT INTO django_admin_log (action_time, object_repr, action_flag, change_message, content_type_id, "
                "user_id) SELECT now(), model, 1, '', id, 1 FROM django_content_type"
            )
            before = set(connection.execute(MEANT).fetchall())
            here = connection.execute(f"{TYPES} ORDER BY id".encode()).fetchall()
            # The monolith has the same models, the first aside, under each other's numbers, and one more.
            numbers = [row[0] for row in here]
            monolith = {(number, *row[1:]) for number, row in zip(reversed(numbers[:-1]), here[1:], strict=True)}
            monolith.add((numbers[-1], "stock", "crate"))
            (tmp_path / "types.csv").write_text("".join(f"{one},{app},{model}\n" for one, app, model in monolith))

            run_the_page(cluster.dsn("renumbered"), tmp_path)

            after = set(connection.execute(TYPES.encode()).fetchall())
            assert monolith < after
            assert {row[1:] for row in after - monolith} == {here[0][1:]}
            assert set(connection.execute(MEANT).fetchall()) == before
            (fresh,) = connection.execute(
                "INSERT INTO django_content_type (app_label, model) VALUES ('stock', 'bay') RETURNING id"
            ).fetchone() or (0,)
            assert fresh > max(row[0] for row in after)
    finally:
        cluster.drop("renumbered")


def migrate(dsn: str) -> None:
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    given = conninfo_to_dict(dsn)
    settings = json.dumps({django: str(given[key]) for key, django in names.items() if key in given})
    subprocess.run([sys.executable, "-c", MIGRATE, settings], check=True)


def run_the_page(dsn: str, folder: Path) -> None:
    """As the page says: with psql, in the folder that has types.csv."""
    found = re.search(r"```sql\n(-- renumber\.sql\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    (folder / "renumber.sql").write_text(found[1])
    done = subprocess.run(
        [str(binary("psql")), "--no-psqlrc", dsn, "-f", "renumber.sql"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["COMMIT"]), done.stderr
