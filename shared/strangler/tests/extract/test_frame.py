"""The frame around taken code: Django is content with it, its tables are the project's, and so are its URLs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from halves import ENVIRONMENT, ROOT, SHOP, asked, capability, small_project, whole_app
from servers import Cluster
from strangler.extract import extraction
from strangler.extract.draft import Kind
from strangler.extract.extraction import Asked, Extracted
from strangler.extract.frame.access import IDENTITY
from strangler.extract.frame.drafting import draft_frame
from strangler.extract.frame.installed import ADMISSION, FENCE, HEALTH
from strangler.init.described import Described

SETTINGS = """
import os
from pathlib import Path
from datetime import timedelta
from django.utils.translation import gettext_lazy
from other.policy import Policy

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "hunter2-is-a-secret-key-of-some-length"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "rest_framework", "notes.apps.NotesConfig", "other",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "other.middleware.Counting",
]
ROOT_URLCONF = "site_.urls"
WSGI_APPLICATION = "site_.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "PASSWORD": "hunter2-database"}}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [BASE_DIR / "pages"],
    "OPTIONS": {"context_processors": ["django.contrib.auth.context_processors.auth", "other.processors.menu"]}}]
LANGUAGES = [("en", gettext_lazy("English")), ("de", gettext_lazy("German"))]
LANGUAGE_CODE = "en"
AUTHENTICATION_BACKENDS = ["other.backends.Backend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "notes:all"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "redis://:hunter2-cache@x"},
    "kept": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "kept_entries"}}
NOTES_API_TOKEN = "hunter2-token"
# As long as people remember.
NOTES_KEPT = timedelta(days=3)
NOTES_LIMIT = int(os.environ.get("NOTES_LIMIT", "10"))
NOTES_POLICY = Policy()
OTHER_LIMIT = 3
EMAIL_HOST_PASSWORD = "hunter2-mail"
"""
MODELS = """
from django.conf import settings
from django.db import models


class Note(models.Model):
    text = models.CharField(max_length=settings.NOTES_LIMIT, unique=True)
    kept = models.BooleanField(db_default=False)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        indexes = [models.Index(fields=["text", "kept"], name="notes_text")]
        constraints = [models.CheckConstraint(condition=~models.Q(text=""), name="notes_said")]
"""
VIEWS = """
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views import View
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from notes.models import Note


class NoteSerializer(ModelSerializer):
    class Meta:
        model = Note
        fields = ("id", "text")


class Notes(ModelViewSet):
    queryset = Note.objects.all()
    serializer_class = NoteSerializer

    @action(detail=True, methods=["post"])
    def keep(self, request, pk=None):
        Note.objects.update(kept=True)
        return Response()


class Page(View):
    size = 3

    def get(self, request, **words):
        return HttpResponse(f"{sorted(words)} {self.size} {reverse('notes:one', args=[7])}")


@login_required
def one(request, pk):
    Note.objects.update(kept=True)
    return render(request, "note.html", {"kept": settings.NOTES_KEPT, "token": settings.NOTES_API_TOKEN})


def bare(request, year="2000"):
    Note.objects.update(kept=True)
    return HttpResponse(year)
"""
URLS = """
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path, re_path, register_converter
from django.views.decorators.cache import cache_page
from notes import converters, views
from other import views as other
from rest_framework.routers import SimpleRouter

register_converter(converters.Year, "year")
router = SimpleRouter()
router.register("notes", views.Notes)

urlpatterns = [
    path("office/", admin.site.urls),
    path("api/", include(router.urls)),
    path("n/", include(([path("<int:pk>/", views.one, name="one"), path("", views.bare, name="all")], "notes"))),
    re_path(r"^old/(?P<year>[0-9]{4})/?$", views.bare, name="old"),
    path("mixed/<slug:s>/", include([
        re_path(r"^(?P<year>[0-9]+)$", views.bare), path("x", views.bare, {"year": "1"}),
    ])),
    path("y/<year:year>", views.bare),
    path("page", views.Page.as_view(size=7)),
    path("cached", cache_page(60)(views.bare), name="cached"),
    path("other", other.other, name="login"),
    *i18n_patterns(path("pages/<str:part>", views.Page.as_view(), name="page"), prefix_default_language=False),
]
"""
FILES = {
    "notes/__init__.py": "",
    "notes/apps.py": 'from django.apps import AppConfig\n\nclass NotesConfig(AppConfig):\n    name = "notes"\n',
    "notes/models.py": MODELS,
    "notes/views.py": VIEWS,
    "notes/converters.py": "from django.urls.converters import IntConverter\n\nclass Year(IntConverter):\n    pass\n",
    "notes/templates/note.html": "{{ kept }}",
    "notes/migrations/__init__.py": "",
    "notes/migrations/0001_first.py": """
from django.contrib.postgres.operations import CreateExtension, TrigramExtension
from django.db import migrations


class Migration(migrations.Migration):
    operations = [TrigramExtension(), CreateExtension("btree_gin"), migrations.RunSQL("SELECT 1"),
                  migrations.RunPython(migrations.RunPython.noop)]
""",
    "other/__init__.py": "",
    "other/models.py": "from django.db import models\n\nclass Other(models.Model):\n    pass\n",
    "other/backends.py": "from django.contrib.auth import backends\n\nBackend = backends.ModelBackend\n",
    "other/middleware.py": "def Counting(get_response):\n    return get_response\n",
    "other/processors.py": "def menu(request):\n    return {}\n",
    "other/policy.py": "class Policy:\n    pass\n",
    "other/views.py": "from django.http import HttpResponse\n\ndef other(request):\n    return HttpResponse()\n",
    "site_/wsgi.py": "",
    "requirements.txt": "Django>=5.2,<5.3 --hash=sha256:0\ndjangorestframework[x]~=3.15  # the interface\n",
}
NOTES = capability("notes", ("notes_note",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("small")
    (base / "strangler.toml").write_text(TOML)
    small_project(base / "project", FILES, SETTINGS, URLS)
    return base


TOML = """
[project]
name = "small"
ledger = "monolith"
monolith = "web"

[databases.monolith]
embedded = true

[processes.web]
directory = "project"
command = ["true"]
database = "monolith"
http = true

# Of notes.
[capabilities.notes]
tables = ["notes_note"]
process = "notes"
database = "notes"
routes = ["POST /api/notes/"]
"""


@pytest.fixture(scope="module")
def small(folder: Path) -> Described:
    return asked(folder / "project")


@pytest.fixture(scope="module")
def notes(folder: Path, small: Described) -> tuple[Path, Extracted]:
    """The service of the small project's notes."""
    return folder / "notes", extract(small, NOTES, folder / "project", folder, folder / "notes", ("NOTES_API_TOKEN",))


def extract(
    project: Described, capability: object, root: Path, base: Path, target: Path, reads: tuple[str, ...] = ()
) -> Extracted:
    def half(*words: object, **more: object) -> object:
        found = whole_app(*words, **more)  # type: ignore[arg-type]
        pages = {path.relative_to(root): path for path in root.rglob("templates/**/*.html")}
        files = {
            **found.files,
            **{type(next(iter(found.files)))(k.as_posix()): p.read_text() for k, p in pages.items()},
        }
        names = ("NOTES_KEPT", "NOTES_LIMIT", "NOTES_POLICY", *reads)
        return replace(found, settings=names, files=files)

    wanted = Asked(project, capability, root, base / "strangler.toml", target, Path(sys.executable))  # type: ignore[arg-type]
    drafted = extraction.draft(wanted, half, lambda what: None)  # type: ignore[arg-type]
    return extraction.write(drafted, lambda what: None)


def said(done: Extracted, kind: Kind) -> str:
    return "\n".join(
        f"{one.decision.place} {one.decision.says}" for one in done.work.entries if one.decision.kind is kind
    )


def text(path: Path) -> str:
    return path.read_text()


def values(path: Path) -> dict[str, str]:
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign):
            found[ast.unparse(node.targets[0])] = ast.unparse(node.value)
    return found


def test_no_secret_is_in_the_description_nor_in_any_file(notes: tuple[Path, Extracted], small: Described) -> None:
    target, _ = notes
    files = [path for path in target.rglob("*") if path.is_file() and path.suffix != ".pyc"]

    assert "hunter2" not in str(small)
    assert not [str(path) for path in files if "hunter2" in path.read_text()]
    assert values(target / "site_/settings.py")["NOTES_API_TOKEN"] == "environment.secret('NOTES_API_TOKEN')"


def test_settings_that_apply_are_there_and_what_is_left_out_is_named(notes: tuple[Path, Extracted]) -> None:
    target, done = notes
    found, told = values(target / "site_/settings.py"), said(done, Kind.SETTING)

    assert found["NOTES_KEPT"] == "timedelta(days=3)"
    assert "# As long as people remember.\nNOTES_KEPT" in text(target / "site_/settings.py")
    assert found["NOTES_LIMIT"] == "int(os.environ.get('NOTES_LIMIT', '10'))"
    assert found["LANGUAGES"] == "[('en', gettext_lazy('English')), ('de', gettext_lazy('German'))]"
    assert "notes.apps.NotesConfig" in found["INSTALLED_APPS"] or "'notes'" in found["INSTALLED_APPS"]
    assert "'other'" not in found["INSTALLED_APPS"]
    assert found["CACHES"].count("environment.secret('CACHES_DEFAULT_LOCATION')") == 1
    assert "OTHER_LIMIT" not in found
    for line in (
        "INSTALLED_APPS: other was left out",
        "CACHES: kept keeps its entries in a table, which no migration makes",
        "MIDDLEWARE: other.middleware.Counting was left out: it is the project's own",
        "OTHER_LIMIT was left out: nothing that came along reads it",
        "NOTES_POLICY could not be copied: it is a Policy",
        "TEMPLATES names other.processors.menu, which did not come along",
        "EMAIL_HOST_PASSWORD was left out: nothing that came along sends mail",
    ):
        assert line in told
    assert re.search(r"^site_/settings.py:\d+ NOTES_POLICY", told, re.MULTILINE)


def test_names_of_urls_that_stay_become_paths(notes: tuple[Path, Extracted]) -> None:
    found = values(notes[0] / "site_/settings.py")

    assert (found["LOGIN_URL"], found["LOGIN_REDIRECT_URL"]) == ("'/other'", "'notes:all'")
    assert "LOGIN_URL names the URL login, which stays" in said(notes[1], Kind.ROUTE)


def test_without_accounts_no_list_about_them_is_left_empty(notes: tuple[Path, Extracted]) -> None:
    assert "AUTHENTICATION_BACKENDS" not in values(notes[0] / "site_/settings.py")


def test_every_setting_of_the_project_is_written_or_named(notes: tuple[Path, Extracted], small: Described) -> None:
    target, done = notes
    written, told = values(target / "site_/settings.py"), said(done, Kind.SETTING)
    structure = {
        "SECRET_KEY",
        "INSTALLED_APPS",
        "MIDDLEWARE",
        "ROOT_URLCONF",
        "WSGI_APPLICATION",
        "DATABASES",
        "TEMPLATES",
    }

    missing = [one.name for one in small.settings if one.name not in written and f" {one.name} " not in told]
    assert missing == []
    assert structure <= written.keys()


def test_urls_are_the_projects_own_with_names_converters_and_prefixes(
    notes: tuple[Path, Extracted], small: Described
) -> None:
    target, _ = notes
    service = asked_service(target)

    def of(project: Described) -> list[tuple[object, ...]]:
        return [
            (one.template, one.name, one.spaces, one.view, dict(one.actions), dict(one.kwargs), one.given.get("size"))
            for one in project.urls
            if one.view.startswith("notes.")
        ]

    assert of(service) == of(small)
    language = next(one for one in service.urls if one.name == "page").chain[0]
    assert (language.kind, language.default_too) == ("language", False)
    assert {cls for one in service.urls for piece in one.chain for cls in piece.converters.values()} == {
        "notes.converters.Year"
    }


def asked_service(target: Path) -> Described:
    before = os.environ.copy()
    os.environ.update({**ENVIRONMENT, "NOTES_API_TOKEN": "x", "CACHES_DEFAULT_LOCATION": "x"})
    os.environ.update({"IDENTITY_URL": "http://127.0.0.1:1", "IDENTITY_SECRET": "x" * 40})
    try:
        return asked(target)
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_view_that_the_urls_wrap_is_a_decision_with_its_place(notes: tuple[Path, Extracted]) -> None:
    told = said(notes[1], Kind.ROUTE)

    assert re.search(r"^notes/views.py:\d+ /cached: the project's URLs wrap the view in ", told, re.MULTILINE)
    assert told.count("wrap the view") == 1


@pytest.mark.parametrize("provides", [(), ("chassis.identity.sessions", "chassis.identity.authtokens")])
def test_where_the_chassis_can_the_service_asks_whose_a_session_is(
    provides: tuple[str, ...], folder: Path, small: Described, tmp_path: Path
) -> None:
    project = replace(small, provides=provides)
    source = whole_app(project, NOTES, folder / "project")

    draft = draft_frame(project, NOTES, source, root=folder / "project", base=tmp_path, target=tmp_path / "notes")

    written = draft.files[PurePosixPath("site_/settings.py")]
    (access,) = [one for one in draft.decisions if one.kind is Kind.ACCESS]
    assert access.open
    assert ("the service asks it" in access.says) == bool(provides)
    if not provides:
        assert "identity" not in written
        return
    (middleware,) = re.findall(r"MIDDLEWARE = (\[.*?\])", written, re.DOTALL)
    order = ast.literal_eval(middleware)
    assert order[:4] == [HEALTH, IDENTITY, ADMISSION, FENCE]
    assert not [one for one in order if "contrib.auth" in one or "contrib.sessions" in one]
    # The views' decorators import its models, and nothing asks for its tables.
    apps = re.findall(r'"([^"]+)",', written[: written.index("MIDDLEWARE")])
    assert "django.contrib.auth" in apps
    assert "django.contrib.sessions" not in apps
    for line in (
        'CHASSIS_IDENTITY_URL = environment.secret("IDENTITY_URL")',
        'CHASSIS_IDENTITY_SECRETS = [environment.secret("IDENTITY_SECRET")]',
        '"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"]',
    ):
        assert line in written


def test_sessions_are_a_decision_of_access(notes: tuple[Path, Extracted]) -> None:
    assert "by a session" in said(notes[1], Kind.ACCESS)


def test_migrations_install_what_the_projects_own_do_and_name_what_else_they_run(notes: tuple[Path, Extracted]) -> None:
    target, done = notes

    first = text(target / "notes/migrations/0001_extensions.py")
    assert "TrigramExtension()," in first
    assert 'CreateExtension("btree_gin"),' in first
    (second,) = [path.name for path in (target / "notes/migrations").glob("0002*.py")]
    assert "notes_text" in text(target / "notes/migrations" / second)
    told = {one.decision.says: one.decision.open for one in done.work.entries if one.decision.kind is Kind.FILE}
    (carried,) = (target / "notes/migrations").glob("0003*.py")
    assert '        migrations.RunSQL("SELECT 1"),\n    ]' in text(carried)
    assert told["the migration: 1 operation came along as written"] is False


def test_requirements_are_the_projects_lines(notes: tuple[Path, Extracted]) -> None:
    lines = text(notes[0] / "requirements.txt").splitlines()

    assert "Django>=5.2,<5.3" in lines
    assert "djangorestframework[x]~=3.15" in lines
    assert any(line.startswith("strangler-chassis[rest") for line in lines)
    assert not any("hash" in line for line in lines)


def test_what_the_file_lacks_is_added_at_its_end_and_nothing_else_changes(
    notes: tuple[Path, Extracted], folder: Path
) -> None:
    now = text(folder / "strangler.toml")

    assert now.startswith(TOML)
    assert notes[1].added == ("databases.notes", "processes.notes", "secrets")
    assert '[processes.notes]\ndirectory = "notes"\n' in now


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's file and its monolith, in a folder in which services may be written."""
    base = tmp_path_factory.mktemp("shop")
    (base / "monolith").symlink_to(SHOP)
    (base / "strangler.toml").write_text((ROOT / "strangler.toml").read_text())
    return base


@pytest.fixture(scope="module")
def monolith(clusters: tuple[Cluster, Cluster]) -> Iterator[str]:
    """The address of a database with the shop's tables."""
    clusters[0].create("extract_shop")
    address = url(clusters[0], "extract_shop")
    migrate(SHOP, address)
    yield address
    clusters[0].drop("extract_shop")


def migrate(folder: Path, address: str) -> None:
    done = run(folder, [sys.executable, "manage.py", "migrate"], {**ENVIRONMENT, "DATABASE_URL": address})
    assert done.returncode == 0, done.stderr


# What `extract` leaves open in the shop is about code, and not about tables.
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["orders", "users", "products"])
def test_a_service_of_the_shop_has_equal_tables_and_nothing_is_in_the_way_of_its_move(
    name: str, cloned: Path, monolith: str, clusters: tuple[Cluster, Cluster]
) -> None:
    program, target = str(Path(sys.executable).with_name("strangler")), cloned / "services" / name

    written = run(cloned, [program, "extract", name, "--to", f"services/{name}", "--json"], ENVIRONMENT)
    checked = run(target, [sys.executable, "manage.py", "check"], ENVIRONMENT)
    clusters[1].create(f"extract_{name}")
    address = url(clusters[1], f"extract_{name}")
    migrate(target, address)
    looked = run(
        cloned,
        [program, "preflight", name, "--json"],
        {"MONOLITH_DATABASE_URL": monolith, f"{name.upper()}_DATABASE_URL": address},
    )

    assert written.returncode == 0, written.stderr
    assert checked.returncode == 0, checked.stderr
    found = json.loads(looked.stdout)
    assert [one for one in found["findings"] if one["severity"] == "error"] == []
    assert found["ready"] is True
    again = run(target, [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"], ENVIRONMENT)
    assert again.returncode == 0, again.stdout
    clusters[1].drop(f"extract_{name}")


def run(folder: Path, words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_CONFIG"))}
    return subprocess.run(words, cwd=folder, env={**known, **environment}, capture_output=True, text=True, check=False)


def url(cluster: Cluster, database: str) -> str:
    given = dict(pair.split("=", 1) for pair in cluster.dsn(database).replace("'", "").split())
    login = given["user"] + (f":{given['password']}" if "password" in given else "")
    return f"postgresql://{login}@{given['host']}:{given['port']}/{database}"
