"""Content types of a service get the monolith's numbers by what the page says, whichever apps the service has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.benchmarks.servers import postgres
from tests.elsewhere import numbers

ADMIN = ["django.contrib.sessions", "django.contrib.messages", "django.contrib.admin"]
PLAIN = ["django.contrib.auth", "django.contrib.contenttypes"]
PROGRAM = """
import django, sys
from django.conf import settings
from django.core.management import call_command
name, address, *apps = sys.argv[1:]
settings.configure(INSTALLED_APPS=apps, USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", DATABASES={
    "default": {"ENGINE": "django.db.backends.postgresql", "NAME": name,
                **dict(zip(("HOST", "PORT", "USER", "PASSWORD"), address.split(" ")))}})
django.setup()
call_command("migrate", verbosity=0)
"""
PERMISSIONS = """
SELECT app_label, model, codename FROM auth_permission p JOIN django_content_type t ON t.id = p.content_type_id
ORDER BY 1, 2, 3
"""
TYPES = "SELECT app_label, model, id FROM django_content_type"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as place:
        yield place.url


def database(server: str, name: str, apps: list[str]) -> str:
    """An own database with the tables of these apps; its address."""
    with psycopg.connect(server, autocommit=True) as session:
        session.execute(f'CREATE DATABASE "{name}"'.encode())
        here = session.info
        address = " ".join(str(one) for one in (here.host, here.port, here.user, here.password))
    subprocess.run(
        [sys.executable, "-c", PROGRAM, name, address, *apps],
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )
    return make_conninfo(server, dbname=name)


@pytest.mark.parametrize("admin", [True, False], ids=["with the admin", "without the admin"])
def test_the_service_has_the_monoliths_numbers_and_permissions_mean_what_they_meant(
    server: str, tmp_path: Path, admin: bool
) -> None:
    monolith = database(server, f"monolith-{admin}", ["django.contrib.sites", *ADMIN, *reversed(PLAIN)])
    service = database(server, f"service-{admin}", [*PLAIN, *(ADMIN if admin else ()), "django.contrib.redirects",
                                                    "django.contrib.sites"])  # fmt: skip
    with psycopg.connect(service) as session:
        session.execute("CREATE TABLE remark (about integer REFERENCES django_content_type DEFERRABLE)")
        session.execute("INSERT INTO remark SELECT id FROM django_content_type WHERE model = 'redirect'")
        if admin:
            session.execute("INSERT INTO auth_user VALUES (1, '', NULL, true, 'a', '', '', '', true, true, now())")
            session.execute("""INSERT INTO django_admin_log (action_time, object_repr, action_flag, change_message,
                user_id, content_type_id) SELECT now(), 'x', 1, '', 1, id FROM django_content_type""")
        permissions = session.execute(PERMISSIONS).fetchall()
        before = {row[:2]: row[2] for row in session.execute(TYPES).fetchall()}
    with psycopg.connect(monolith) as session:
        # As in a project that has grown: its numbers are not those that a fresh one gives.
        session.execute("""INSERT INTO django_content_type (app_label, model) VALUES ('gone', 'thing'),
            ('redirects', 'redirect')""")
        wanted = {row[:2]: row[2] for row in session.execute(TYPES).fetchall()}

    assert any(before.get(name, number) != number for name, number in wanted.items())
    numbers.type_page(tmp_path, monolith, service)

    with psycopg.connect(service) as session:
        found = {row[:2]: row[2] for row in session.execute(TYPES).fetchall()}
        assert {name: found[name] for name in wanted} == wanted
        assert session.execute(PERMISSIONS).fetchall() == permissions
        (about,) = session.execute("SELECT model FROM remark JOIN django_content_type t ON t.id = about").fetchall()
        assert about == ("redirect",)
        if admin:
            (logged,) = session.execute("""SELECT count(DISTINCT model) FROM django_admin_log
                JOIN django_content_type t ON t.id = content_type_id""").fetchall()
            assert logged[0] > 5
