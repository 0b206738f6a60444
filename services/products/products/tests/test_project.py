"""The project as a whole."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from chassis.servers.worker import FencedTask
from config import celery_app
from django.conf import settings
from django.core.management import call_command
from django.db import connection

ROOT = Path(__file__).parents[2]


@pytest.mark.django_db
def test_the_models_have_all_their_migrations():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_the_project_passes_django_s_checks():
    call_command("check", "--fail-level", "WARNING")


def test_the_openapi_file_is_current(tmp_path):
    out = tmp_path / "openapi.yaml"

    call_command("spectacular", "--file", str(out), "--validate", "--fail-on-warn", stdout=StringIO())

    assert out.read_text() == (ROOT / "openapi.yaml").read_text()


def test_the_fence_stands_outside_everything_that_may_touch_the_database():
    position = settings.MIDDLEWARE.index("chassis.ownership.fence.FenceMiddleware")

    assert settings.MIDDLEWARE[:position] == [
        "chassis.servers.health.HealthMiddleware",
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        "chassis.process.logs.RequestIdMiddleware",
        "chassis.process.tracing.TraceMiddleware",
        "chassis.rest.answers.AnswersMiddleware",
        "chassis.process.admission.AdmissionMiddleware",
    ]


@pytest.mark.django_db
def test_there_are_neither_accounts_nor_an_admin(client):
    assert client.get("/admin/").status_code == 404
    assert not any(name.startswith(("auth_", "django_admin")) for name in connection.introspection.table_names())


def test_its_worker_takes_messages_in():
    steps = {name for steps in celery_app.steps.values() for name in steps}

    assert {"chassis.servers.worker:MessageStep", "chassis.servers.worker:TaskGate"} <= steps
    assert issubclass(celery_app.Task, FencedTask)
    assert celery_app.conf.task_default_queue == "products.tasks"


@pytest.mark.django_db
def test_it_is_ready_when_its_database_is(client):
    assert client.get("/readyz").json() == {"status": "ready"}
