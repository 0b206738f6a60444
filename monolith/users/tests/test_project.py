"""The project as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

ROOT = Path(__file__).parents[2]


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


def test_nothing_writes_a_moved_table_from_the_wrong_place(capsys):
    """Each of its notes has been looked at: a new one is looked at, too, before it is written here."""
    call_command("strangler_check", "--json", config=ROOT.parent / "strangler.toml")

    found = json.loads(capsys.readouterr().out)["findings"]
    assert {(one["id"], one["severity"]) for one in found} == {
        ("cascade-from-outside", "note"),
        ("command-writes", "note"),
        ("copy-is-read", "note"),
        ("non-atomic-view", "note"),
    }


def test_no_route_of_the_shop_reads_a_table_that_was_dropped_if_orders_leave_before(capsys):
    with pytest.raises(CommandError):
        call_command("strangler_check", "--json", "--before-drop", config=ROOT.parent / "strangler.toml")

    found = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["id"] == "copy-is-read"]
    assert {one["place"].partition(":")[0] for one in found if one["severity"] == "error"} == {
        "django/contrib/admin/sites.py",
        *(f"{app}/admin.py" for app in ("orders", "products", "users")),
        "users/backends.py",
    }, "staff, who go to the services' admins then"
    assert all("If orders has not left" in one["message"] for one in found if one["severity"] == "warning")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_may_come_by_the_address_of_a_pod(client, path):
    assert client.get(path, headers={"host": "10.0.0.7:8000"}).status_code == 200


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DATABASE_URL", "postgresql://u:12/canary@h/db"),
        ("DATABASE_URL", "postgresql://u:canary@h:port/db"),
        ("DATABASE_URL_FILE", "postgresql://u:canary@h/db"),
        ("BROKER_URL", "amqp://u:12/canary@h//"),
        ("BROKER_URL", "amqp://u:canary@h:port//"),
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
