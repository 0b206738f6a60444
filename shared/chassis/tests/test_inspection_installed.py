"""What ``manage.py strangler_check`` says of an app that was installed: nobody can write a comment into it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TOML = """
[capabilities.post]
tables = ["parcels_parcel"]
routes = ["* /parcels/*"]
"""
APP = {
    "__init__": "",
    "models": """
        from django.db import models

        class Parcel(models.Model):
            label = models.FileField()
    """,
    "admin": """
        from django.contrib import admin
        from parcels.models import Parcel

        @admin.register(Parcel)
        class ParcelAdmin(admin.ModelAdmin):
            pass
    """,
    "urls": """
        from django.http import HttpResponse
        from django.urls import path

        urlpatterns = [path("parcels/new", lambda request: HttpResponse())]
    """,
    "management/__init__": "",
    "management/commands/__init__": "",
    "management/commands/send_parcels": """
        from django.core.management.base import BaseCommand
        from parcels.models import Parcel

        class Command(BaseCommand):
            def handle(self, **options):
                Parcel.objects.all().delete()
    """,
}
SETTINGS = """
from inspected.settings import *

INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "chassis", "parcels"]
MIDDLEWARE = ["chassis.ownership.fence.FenceMiddleware"]
TEMPLATES, DATABASES, DATABASE_ROUTERS = [], {"default": NOWHERE}, []
ROOT_URLCONF = "parcels.urls"
CHASSIS_CHECKED = """
FILES = "files-stay parcels/models.py:4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "strangler.toml").write_text(TOML)
    for name, text in APP.items():
        file = tmp_path / "site-packages" / "parcels" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("\n        ", "\n"))
    return tmp_path


def check(folder: Path, checked: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a project whose settings explain this."""
    (folder / "explaining.py").write_text(f"{SETTINGS}{checked!r}\n")
    path = ":".join(map(str, (HERE, folder, folder / "site-packages")))
    return subprocess.run(
        [sys.executable, "-m", "django", "strangler_check", *arguments],
        cwd=folder,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "explaining", "PYTHONPATH": path, "STRANGLER_CONFIG": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def by_id(told: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in json.loads(told.stdout)["findings"]}


def test_a_place_in_a_package_is_named_wherever_its_environment_lies(folder):
    found = by_id(check(folder, {}, "--json"))

    assert f"{found['files-stay']['id']} {found['files-stay']['place']}" == FILES
    assert found["files-stay"]["severity"] == "error"
    assert "say so in CHASSIS_CHECKED" in found["files-stay"]["remedy"]


def test_a_command_of_a_package_whose_models_move_is_looked_at(folder):
    one = by_id(check(folder, {}, "--json"))["command-writes"]

    assert one["place"].startswith("parcels/management/commands/send_parcels.py:")
    assert "manage.py send_parcels writes parcels_parcel" in one["message"]


def test_an_admin_of_a_package_is_to_be_replaced_by_one_of_the_project(folder):
    one = by_id(check(folder, {}, "--json"))["admin-writes"]

    assert "admin.site.unregister(Parcel)" in one["remedy"]
    assert "a subclass of parcels.admin.ParcelAdmin" in one["remedy"]


def test_a_finding_that_the_settings_explain_is_a_note_and_counted(folder):
    told = check(folder, {FILES: "both sides mount the volume", "admin-writes admin: parcels.Parcel": "never used"})

    assert told.returncode == 0, told.stdout
    assert "· files-stay  parcels/models.py:4" in told.stdout
    assert "It was looked at: both sides mount the volume." in told.stdout
    assert "(2 explained by a person)" in told.stdout.splitlines()[-1]


def test_an_explanation_of_nothing_is_a_warning(folder):
    told = check(folder, {FILES.replace(":4", ":5"): "both sides mount the volume"}, "--json")

    found = by_id(told)
    assert told.returncode == 1
    assert found["files-stay"]["severity"] == "error", "the file has changed, and wants a new look"
    assert found["checked-nothing"]["severity"] == "warning"
    assert "'files-stay parcels/models.py:5'" in found["checked-nothing"]["message"]


@pytest.mark.parametrize("checked", [["files-stay"], {FILES: ""}, {FILES: None}, "files-stay"])
def test_explanations_that_are_none_are_refused(folder, checked):
    told = check(folder, checked)

    assert told.returncode == 2
    assert "settings.CHASSIS_CHECKED" in told.stderr
    assert "Traceback" not in told.stderr
