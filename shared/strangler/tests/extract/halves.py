"""Source halves that were made by hand, for tests of the frame around them, and projects to extract from."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

from strangler.domain.project import Capability
from strangler.domain.route import Route
from strangler.extract.draft import Source, TakenApp, TakenRoute
from strangler.init import asking
from strangler.init.described import Described

ROOT = Path(__file__).parents[4]
SHOP = ROOT / "monolith"
LEFT = ("migrations", "tests", "urls.py")
# What the shop's settings ask of the environment.
ENVIRONMENT = {
    "SECRET_KEY": "a-key-for-tests-of-more-than-thirty-two-bytes",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "BROKER_URL": "memory://",
    "TOKEN_KEY_FILE": "each-test-gets-its-own.pem",
    "GATEWAY_URL": "http://127.0.0.1:1",
    "INTERNAL_URL": "http://127.0.0.1:1",
    "SERVICE_KEY_FILE": "each-test-gets-its-own.pem",
}


@functools.cache
def shop() -> Described:
    """The shop, as it describes itself."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        return asking.ask(SHOP / "manage.py", Path(sys.executable))
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def whole_app(project: Described, capability: Capability, root: Path, **_: object) -> Source:
    """The capability's apps as they are, without migrations, tests and URLs."""
    labels = sorted({found.app for table in capability.tables if (found := project.table(table))})
    files: dict[PurePosixPath, str] = {}
    for label in labels:
        base = root / project.apps[label].module.replace(".", "/")
        for file in sorted(base.rglob("*.py")):
            path = PurePosixPath(file.relative_to(root).as_posix())
            if not {*path.parts} & {*LEFT}:
                files[path] = file.read_text()
    return Source(
        files=files,
        apps=tuple(TakenApp(label, project.apps[label].module, models=("Model",)) for label in labels),
        routes=tuple(TakenRoute(one.path, one.view) for one in project.requests if one.app in labels),
        lines_taken=sum(len(text.splitlines()) for text in files.values()),
    )


def capability(name: str, tables: tuple[str, ...], process: str | None = None) -> Capability:
    return Capability(name, tables, [Route(frozenset(), "/")], process or name, name)


USERS = capability("users", ("users_user", "users_address"))


def small_project(folder: Path, files: dict[str, str], settings: str = "", urls: str = "") -> Path:
    """A Django project of few lines; returns the folder of its manage.py."""
    written = {
        "manage.py": "import os, sys\nfrom django.core.management import execute_from_command_line\n"
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")\nexecute_from_command_line(sys.argv)\n',
        "site_/__init__.py": "",
        "site_/settings.py": settings,
        "site_/urls.py": urls or "urlpatterns = []\n",
        **files,
    }
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def asked(folder: Path) -> Described:
    """The project, as it describes itself."""
    return asking.ask(folder / "manage.py", Path(sys.executable))


TINY = {
    "tiny/__init__.py": "",
    "tiny/models.py": "from django.db import models\n\n\nclass Thing(models.Model):\n    name = models.TextField()\n",
    "tiny/views.py": "from django.http import HttpResponse\n\nfrom tiny.models import Thing\n\n\n"
    "def make(request):\n    Thing.objects.create(name='x')\n    return HttpResponse()\n",
    "tiny/tests.py": "",
    "huge/__init__.py": "",
}
TINY_SETTINGS = """
SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
INSTALLED_APPS = ["tiny"]
MIDDLEWARE = []
ROOT_URLCONF = "site_.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TINY_LIMIT = 3
"""
TINY_URLS = """
from django.urls import path
from tiny import views

urlpatterns = [path("things", views.make, name="things")]
"""
TINY_FILE = """
# Ours.
[project]
name = "tiny"
ledger = "monolith"
monolith = "web"

[databases.monolith]
embedded = true

[processes.web]
directory = "project"
command = ["true"]
database = "monolith"
http = true

[capabilities.tiny]
tables = ["tiny_thing"]
process = "tiny"
database = "tiny"
routes = ["POST /things"]

[capabilities.legacy]
tables = ["legacy_bill"]
process = "legacy"
database = "legacy"
routes = ["POST /bills"]

[databases.legacy]
embedded = true

[processes.legacy]
directory = "legacy"
command = ["true"]
database = "legacy"
http = true
"""


class Tiny:
    """A project with one app, its strangler.toml, and the command line as a person runs it there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "services" / "tiny"
        self.file = folder / "strangler.toml"
        folder.mkdir(exist_ok=True)
        self.file.write_text(TINY_FILE)
        small_project(folder / "project", TINY, TINY_SETTINGS, TINY_URLS)

    def command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("strangler")), "extract", *words]

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_CONFIG"))}

    def extract(self, *more: str, name: str = "tiny", to: str = "services/tiny") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, "--to", to, *more),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def project(self, name: str, text: str) -> None:
        """Writes a file of the project anew."""
        (self.folder / "project" / name).write_text(text)

    def text(self, name: str) -> str:
        return (self.target / name).read_text()

    def files(self) -> dict[str, str]:
        """All of the service, without what only says what was done."""
        return {
            path.relative_to(self.target).as_posix(): path.read_text()
            for path in sorted(self.target.rglob("*"))
            if path.is_file() and path.suffix != ".pyc"
        }

    def beside(self) -> list[str]:
        """What lies beside the target, and should not be there when nothing runs."""
        parent = self.target.parent
        return sorted(one.name for one in parent.iterdir() if one != self.target) if parent.is_dir() else []
