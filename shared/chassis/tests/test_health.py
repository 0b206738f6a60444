from __future__ import annotations

import pytest
from chassis.messages import declarations
from chassis.process import vitals
from chassis.servers import health, warmth
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import OperationalError


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(health, "_migrated", set())


def test_a_process_is_alive_without_its_database(client):
    answer = client.get("/healthz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "alive"}
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_a_migrated_database_makes_it_ready(client):
    assert client.get("/readyz").json() == {"status": "ready"}


def test_a_process_without_a_database_is_ready_and_has_no_sides_to_read(client, monkeypatch):
    monkeypatch.setattr(connections["default"], "settings_dict", {"ENGINE": "django.db.backends.dummy"})

    warmth._read_sides()

    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.django_db
def test_a_missing_migration_makes_it_unready(client):
    MigrationRecorder.Migration.objects.filter(app="auth").order_by("-id").first().delete()

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["reason"] == "migrations are not applied"


@pytest.mark.django_db
def test_migrations_are_not_asked_for_again_once_applied(client, django_assert_num_queries):
    client.get("/readyz")

    with django_assert_num_queries(1):
        client.get("/readyz")


def test_a_database_that_is_away_makes_it_unready_without_saying_where_it_is(client, monkeypatch):
    def refuse():
        raise OperationalError("connection to server at 10.0.0.7 failed")

    monkeypatch.setattr(connections["default"], "cursor", refuse)

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"status": "unready", "reason": "the database does not answer"}


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-strangler-to", "x-strangler-max-body"])
@pytest.mark.parametrize(
    ("path", "status", "told"),
    [("/readyz", 200, "ready"), ("/readyz", 503, "unready"), ("/healthz", 503, "stuck")],
)
def test_who_comes_by_a_gateway_is_told_the_status_alone(client, monkeypatch, header, path, status, told):
    monkeypatch.setattr(declarations, "refused", lambda: {"queue books.tasks": "is of another kind"})
    monkeypatch.setattr(vitals, "stuck", lambda: ["relay"])
    if told == "unready":
        monkeypatch.setattr(health, "_pending", lambda using: True)

    inside, outside = client.get(path), client.get(path, headers={header: "1"})

    assert (inside.status_code, len(inside.json())) == (status, 2)
    assert (outside.status_code, outside.json()) == (status, {"status": told})


def test_metrics_are_in_the_text_format(client):
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    assert b"# TYPE" in answer.content


@pytest.mark.django_db
@pytest.mark.parametrize("path", health.VIEWS)
def test_a_probe_may_come_by_any_host(client, path):
    assert client.get(path, headers={"host": "10.0.0.7:8000"}).status_code == 200


def test_any_other_path_is_the_project_s(client):
    assert client.get("/healthz/more").status_code == 404


@pytest.mark.parametrize("path", health.VIEWS)
def test_health_is_only_read(client, path):
    answer = client.post(path)

    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed."})
