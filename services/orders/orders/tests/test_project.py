"""The project as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

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
def test_it_is_ready_when_its_database_is(client):
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DATABASE_URL", "postgresql://u:12/canary@h/db"),
        ("DATABASE_URL", "postgresql://u:canary@h:port/db"),
        ("DATABASE_URL_FILE", "postgresql://u:canary@h/db"),
        ("BROKER_URL", "amqp://u:12/canary@h//"),
        ("BROKER_URL", "amqp://u:canary@h:port//"),
        ("GATEWAY_URL", "http://u:canary@h"),
        ("INTERNAL_URL", "http://u:canary@h"),
    ],
)
@pytest.mark.parametrize("command", [("manage.py", "check"), ("-m", "celery", "--app", "config", "report")])
def test_a_start_with_a_broken_address_shows_nothing_of_it(variable, text, command):
    environment = {**os.environ, variable: text, "DJANGO_SETTINGS_MODULE": "config.settings"}
    if variable.endswith("_FILE"):
        del environment[variable.removesuffix("_FILE")]

    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode != 0
    assert variable in done.stderr
    assert "canary" not in done.stdout + done.stderr
