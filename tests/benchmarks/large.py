"""A Django project of any size, made of apps that look alike and import each other, with its strangler.toml."""

from __future__ import annotations

from pathlib import Path

MODELS = 8  # per app
MODULES = 20  # of plain code per app
FUNCTIONS = 14  # per module
NEIGHBOURS = 3  # apps that an app imports
SETTINGS = """
SECRET_KEY = "a-key-for-benchmarks-of-more-than-thirty-two-bytes"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", {apps}]
MIDDLEWARE = []
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": "none"}}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""
MANAGE = """import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
execute_from_command_line(sys.argv)
"""
MODEL = '''

class Item{n}(models.Model):
    """Something that the app {app} keeps."""

    name = models.CharField(max_length=80)
    amount = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    made_at = models.DateTimeField(auto_now_add=True)
    before = models.ForeignKey("{to}", null=True, on_delete=models.CASCADE, related_name="+")
'''
FUNCTION = '''

def step_{n}(rows: list[int], limit: int = {n}) -> int:
    """What is done in step {n}, as somebody wrote it years ago."""
    total = 0
    for number, row in enumerate(rows):
        if row > limit:
            # Rows above the limit count twice.
            total += 2 * row
        elif row == limit:
            total += {call}
        else:
            total += row - number
    found = {{name: value for name, value in zip("abc", rows, strict=False) if value}}
    return total + len(found)
'''
VIEW = '''

def show_{n}(request, pk):
    """A page about one row."""
    item = get_object_or_404(Item{n}, pk=pk)
    if request.method == "POST":
        item.name = request.POST["name"]
        item.save()
    return JsonResponse({{"name": item.name, "total": logic_{n}.step_1([1, 2, 3])}})
'''
TOML = """
[project]
name = "large"
python = {python!r}
ledger = "monolith"
monolith = "web"

[databases.monolith]
embedded = true

[processes.web]
directory = "project"
command = ["true"]
database = "monolith"
http = true

[capabilities.app0]
tables = [{tables}]
process = "app0"
database = "app0"
routes = ["* /app0/*"]
"""


def write(folder: Path, apps: int, python: str) -> int:
    """Writes the project into the folder; returns its lines of Python. The first app is the capability `app0`."""
    project = folder / "project"
    names = [f"app{number}" for number in range(apps)]
    files = {
        "manage.py": MANAGE,
        "config/__init__.py": "",
        "config/wsgi.py": "from django.core.wsgi import get_wsgi_application\n\napplication = get_wsgi_application()\n",
        "config/settings.py": SETTINGS.format(apps=", ".join(f'"{name}"' for name in names)),
        "config/urls.py": "from django.urls import include, path\n\nurlpatterns = [\n"
        + "".join(f'    path("{name}/", include("{name}.urls")),\n' for name in names)
        + "]\n",
    }
    for number in range(apps):
        files |= _app(number, apps)
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tables = ", ".join(f'"app0_item{n}"' for n in range(MODELS))
    (folder / "strangler.toml").write_text(TOML.format(python=python, tables=tables))
    return sum(text.count("\n") for text in files.values())


def _app(number: int, apps: int) -> dict[str, str]:
    app = f"app{number}"
    # Downwards only, so that imports do not go in a circle.
    others = [f"app{other}" for other in range(number + 1, min(number + 1 + NEIGHBOURS, apps))]
    models = "from django.db import models\n" + "".join(
        MODEL.format(n=n, app=app, to=f"{others[0] if others and n == 0 else app}.Item{max(n - 1, 0)}")
        for n in range(MODELS)
    )
    imports = "".join(f"from {app} import logic_{n}\n" for n in range(MODELS))
    views = (
        f"from django.http import JsonResponse\nfrom django.shortcuts import get_object_or_404\n{imports}"
        f"from {app}.models import {', '.join(f'Item{n}' for n in range(MODELS))}\n"
        + "".join(VIEW.format(n=n) for n in range(MODELS))
    )
    urls = f"from django.urls import path\n\nfrom {app} import views\n\nurlpatterns = [\n"
    urls += "".join(f'    path("{n}/<int:pk>", views.show_{n}),\n' for n in range(MODELS)) + "]\n"
    files = {f"{app}/{name}.py": text for name, text in (("__init__", ""), ("models", models), ("views", views),
                                                         ("urls", urls))}  # fmt: skip
    for n in range(MODULES):
        called = f"logic_{n + 1}"
        given = others[n % len(others)] if others and n % 7 == 3 else app
        head, call = f"\nfrom {given} import {called}\n", f"{called}.step_0([row])"
        if n + 1 == MODULES:
            head, call = "", "row"
        steps = "".join(FUNCTION.format(n=each, call=call) for each in range(FUNCTIONS))
        text = f'"""Plain code of {app}."""\n{head}{steps}'
        files[f"{app}/logic_{n}.py"] = text
    return files
