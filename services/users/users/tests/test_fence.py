"""While a password is hashed the accounts may change hands: what comes after it is rolled back and sent on."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from chassis.identity import hashing
from chassis.ownership import owners
from conftest import PASSWORD
from django.db import connection

from users.models import User

SIDE_SQL = Path(__file__).resolve().parents[4] / "shared/strangler/src/strangler/adapters/postgres/side.sql"
ROUTES = [{"methods": [], "pattern": "/api/v1/(users|auth).*"}]
TABLE = "public.users_user"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def side(customer):
    """This database's side of the users' move, in a session of its own."""
    there = connection.settings_dict
    with psycopg.connect(
        host=there["HOST"],
        port=there["PORT"],
        user=there["USER"],
        password=there["PASSWORD"],
        dbname=there["NAME"],
        autocommit=True,
    ) as session:
        session.execute(SIDE_SQL.read_bytes())
        for name, event, level in (
            ("strangler_fence", "INSERT OR UPDATE OR DELETE OR TRUNCATE", "STATEMENT"),
            ("strangler_replica_truncate", "TRUNCATE", "STATEMENT"),
            ("strangler_replica_fence", "INSERT OR UPDATE OR DELETE", "ROW"),
        ):
            session.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {TABLE} FOR EACH {level} "
                "EXECUTE FUNCTION strangler.refuse('users', 'write')"
            )
        session.execute(
            "INSERT INTO strangler.side (capability, side, epoch, open, routes, tables) "
            "VALUES ('users', 'service', 1, true, %s, %s)",
            [json.dumps(ROUTES), [TABLE]],
        )
        session.execute("SELECT strangler.turn_fences('users', true)")
        yield session
        session.execute("DROP SCHEMA strangler CASCADE")
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)",
            [connection.connection.info.backend_pid if connection.connection else 0],
        )
    owners._present.clear()


@pytest.fixture
def _handed_over_meanwhile(side, monkeypatch):
    class Places(hashing.Hashing):
        @contextmanager
        def place(self):
            # By somebody else, in a thread of his own: what a view's thread commits is the request's.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(side.execute, "SELECT strangler.close_side('users', 1, 2)").result()
                thread.submit(side.execute, "UPDATE strangler.side SET bounce_to = 'monolith'").result()
            yield

    monkeypatch.setattr(hashing, "process", Places(1, queue=0))


@pytest.mark.usefixtures("_handed_over_meanwhile")
def test_a_registration_is_rolled_back_and_sent_on(anonymous):
    body = {"email": "new@example.com", "password": PASSWORD, "full_name": "New"}

    answer = anonymous.post("/api/v1/users", body)

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert not User.objects.filter(email="new@example.com").exists()


@pytest.mark.usefixtures("_handed_over_meanwhile")
def test_a_login_is_rolled_back_and_sent_on(anonymous, customer):
    answer = anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD})

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert User.objects.get(pk=customer.pk).last_login is None


@pytest.mark.usefixtures("side")
def test_while_they_are_here_both_are_answered(anonymous, customer):
    body = {"email": "new@example.com", "password": PASSWORD, "full_name": "New"}

    assert anonymous.post("/api/v1/users", body).status_code == 201
    assert anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD}).status_code == 200
