"""Source halves that were made by hand, for tests of the frame around them, and projects to extract from."""

from __future__ import annotations

import functools
import os
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
