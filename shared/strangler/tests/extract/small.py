"""A small Django project that is written into a folder, described by itself, and cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from textwrap import dedent
from typing import Literal

from strangler.domain.project import Capability
from strangler.domain.route import Route
from strangler.extract.draft import Decision, Kind, Source
from strangler.extract.source import draft_source
from strangler.init.asking import SHELL
from strangler.init.described import Described, read

MANAGE = """
    import os, sys
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_of.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
SETTINGS = """
    SECRET_KEY = "for tests"
    INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
        "django.contrib.sessions", "django.contrib.messages", {apps}]
    MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware"]
    TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS":
        {{"context_processors": ["django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages"]}}}}]
    DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": "none"}}}}
    ROOT_URLCONF = "site_of.urls"
    WSGI_APPLICATION = "site_of.wsgi.application"
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    {more}
"""


@dataclass
class Small:
    """The project in its folder."""

    folder: Path
    described: Described

    @classmethod
    def written(cls, folder: Path, files: Mapping[str, str], *apps: str, more: str = "") -> Small:
        """Writes the files, and lets the project describe itself."""
        listed = ", ".join(f'"{app}"' for app in apps)
        whole = {
            "manage.py": MANAGE,
            "site_of/__init__.py": "",
            "site_of/settings.py": SETTINGS.format(apps=listed, more=more),
            "site_of/urls.py": "urlpatterns = []\n",
            "site_of/wsgi.py": "",
            **files,
        }
        write(folder, whole)
        for app in apps:
            if not (init := folder.joinpath(*app.split("."), "__init__.py")).exists():
                init.write_text("")
        output = folder / "description.json"
        done = run(folder, "shell", "--command", SHELL.format(path=str(output)))
        assert done.returncode == 0, done.stderr
        described = read(json.loads(output.read_text()), str(folder))
        output.unlink()
        return cls(folder, described)

    def drafted(self, tables: str, *routes: str, relations: Literal["keys", "numbers"] = "keys") -> Cut:
        """The draft of a capability with these tables, named with spaces between them."""
        made = [Route(methods=frozenset({one.split()[0]}), path=one.split()[1]) for one in routes]
        capability = Capability("moving", tables.split(), made, "moving", "moving")
        return Cut(self, draft_source(self.described, capability, self.folder, relations=relations))


@dataclass
class Cut:
    """A draft, with what tests ask of it."""

    small: Small
    source: Source

    def text(self, path: str) -> str:
        """The text of a file."""
        return self.source.files[PurePosixPath(path)]

    def has(self, path: str) -> bool:
        return PurePosixPath(path) in self.source.files

    def said(self, kind: Kind, words: str = "") -> list[Decision]:
        """The decisions of a kind that say the words."""
        return [one for one in self.source.decisions if one.kind is kind and words in f"{one.place} {one.says}"]

    def is_same(self, path: str) -> bool:
        """Whether the file came along byte for byte."""
        return self.text(path).encode() == (self.small.folder / path).read_bytes()

    def service(self, folder: Path, *apps: str, more: str = "") -> Path:
        """Writes a service around the draft."""
        listed = ", ".join(f'"{app}"' for app in [*(one.module for one in self.source.apps), *apps])
        write(
            folder,
            {
                "manage.py": MANAGE,
                "site_of/__init__.py": "",
                "site_of/settings.py": SETTINGS.format(apps=listed, more=more),
                "site_of/urls.py": "urlpatterns = []\n",
                "site_of/wsgi.py": "",
            },
        )
        for path, text in self.source.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, newline="")
        return folder

    def migration(self, folder: Path, *, more: str = "") -> str:
        """What Django says when it checks the service and makes its migrations."""
        service = self.service(folder, more=more)
        labels = [one.label for one in self.source.apps if one.models]
        checked = run(service, "check")
        assert checked.returncode == 0, checked.stderr
        made = run(service, "makemigrations", *labels)
        assert made.returncode == 0, made.stderr
        return made.stdout


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "manage.py", *words], cwd=folder, env=known, capture_output=True, text=True, check=False
    )
