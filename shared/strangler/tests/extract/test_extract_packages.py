"""A capability whose models, or the classes from which they derive, are those of an installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest
import tables
from halves import small_project
from servers import Cluster

PACKAGE = {
    "parcels/__init__.py": "",
    "parcels/defaults.py": 'PARCELS_TOKEN_PARAM = "via"\n',
    "parcels/boxes/__init__.py": "",
    "parcels/boxes/abstract_models.py": """
        from django.conf import settings
        from django.db import models


        class AbstractBox(models.Model):
            owner = models.ForeignKey(settings.AUTH_USER_MODEL, related_name="%(class)ses", on_delete=models.CASCADE)
            item = models.ForeignKey("goods.Item", null=True, on_delete=models.SET_NULL, related_name="+")
            friends = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="%(class)s_of")
            name = models.CharField(max_length=20)

            class Meta:
                abstract = True
                ordering = ("owner", "name")
                unique_together = (("owner", "name"),)

            def title(self):
                return self.item.name if self.item else self.name
    """,
    "parcels/boxes/models.py": """
        from .abstract_models import AbstractBox


        class Box(AbstractBox):
            pass
    """,
    "parcels/boxes/views.py": """
        from django.apps import apps
        from django.contrib import messages
        from django.http import HttpResponse
        from django.shortcuts import get_object_or_404, render

        Box = apps.get_model("boxes", "Box")
        Item = apps.get_model("goods", "Item")


        def listing(request):
            return render(request, "boxes/list.html", {"boxes": request.user.boxes.all()})


        def put(request, pk):
            item = get_object_or_404(Item, pk=pk)
            box = Box.objects.filter(owner=request.user).select_related("item").first()
            box.item = item
            box.save()
            messages.success(request, "done")
            return HttpResponse(box.item.name)
    """,
    "parcels/boxes/middleware.py": """
        class Weighing:
            def __init__(self, get_response):
                self.get_response = get_response

            def __call__(self, request):
                request.scale = 1
                return self.get_response(request)
    """,
    "parcels/boxes/templates/boxes/list.html": """
        {% load signs %}
        {{ request.scale }}{% for box in boxes %}{{ box.name }} <a href="{% url 'goods:item' 1 %}">i</a>{% endfor %}
    """,
    "parcels/goods/__init__.py": "",
    "parcels/goods/models.py": """
        from django.db import models


        class Item(models.Model):
            name = models.CharField(max_length=20)
    """,
    "parcels/goods/views.py": """
        from django.http import HttpResponse

        from parcels.goods.models import Item


        def item(request, pk):
            return HttpResponse(Item.objects.get(pk=pk).name)
    """,
    "parcels/goods/urls.py": """
        from django.urls import path

        from parcels.goods import views

        app_name = "goods"
        urlpatterns = [path("<int:pk>", views.item, name="item")]
    """,
    "signs/__init__.py": "",
    "signs/templatetags/__init__.py": "",
    "signs/templatetags/signs.py": "from django import template\n\nregister = template.Library()\n",
}
PROJECT = {
    "crates/__init__.py": "",
    "crates/models.py": """
        '''Crates.'''
        from django.db import models
        from parcels.boxes.abstract_models import AbstractBox


        class Crate(AbstractBox):
            '''A large box.'''

            weight = models.IntegerField(default=0)
    """,
    "crates/views.py": """
        from django.http import HttpResponse

        from crates.models import Crate


        def count(request):
            return HttpResponse(Crate.objects.count())
    """,
}
SETTINGS = """
import sys
from pathlib import Path

sys.path.append({packages!r})
from parcels.defaults import *

{database}
SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sites",
    "parcels.boxes",
    "parcels.goods",
    "signs",
    "crates",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "parcels.boxes.middleware.Weighing",
]
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {{
    "context_processors": ["django.template.context_processors.request"]}}}}]
ROOT_URLCONF = "site_.urls"
SITE_ID = 1
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
URLS = """
from django.contrib.auth.decorators import login_required
from django.urls import include, path

from crates.views import count
from parcels.boxes import views

urlpatterns = [
    path("boxes", login_required(views.listing), name="boxes"),
    path("boxes/put/<int:pk>", views.put, name="put"),
    path("crates", count),
    path("items/", include("parcels.goods.urls")),
]
"""
FILE = """
[project]
name = "parcels"
ledger = "monolith"
monolith = "web"

[databases.monolith]
embedded = true

[databases.boxes]
embedded = true

[processes.web]
directory = "project"
command = ["true"]
database = "monolith"
http = true

[capabilities.boxes]
tables = ["boxes_box", "boxes_box_friends"]
process = "boxes"
database = "boxes"
routes = ["GET /boxes", "* /boxes/put/{id}"]

[capabilities.crates]
tables = ["crates_crate", "crates_crate_friends"]
process = "crates"
database = "boxes"
routes = ["GET /crates"]

[processes.boxes]
directory = "services/boxes"
command = ["true"]
database = "boxes"
http = true

[processes.crates]
directory = "services/crates"
command = ["true"]
database = "boxes"
http = true
"""
IN_SERVICE = {
    "SECRET_KEY": "a-key-for-tests-of-more-than-thirty-two-bytes",
    "IDENTITY_URL": "http://127.0.0.1:1",
    "IDENTITY_SECRET": "a-secret-for-tests-of-more-than-thirty-two-bytes",
}


class Parcels:
    """The project, and the services that are extracted from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        packages = folder / "venv" / "site-packages"
        _write(packages, PACKAGE)
        settings = SETTINGS.format(packages=str(packages), database=tables.DATABASE)
        small_project(folder / "project", {name: _plain(text) for name, text in PROJECT.items()}, settings, URLS)
        (folder / "strangler.toml").write_text(FILE)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]),
        }
        self._run("project", sys.executable, "manage.py", "makemigrations", "boxes", "goods", "crates")

    def extract(self, name: str) -> Path:
        command = str(Path(sys.executable).with_name("strangler"))
        self._run(".", command, "extract", name, "--to", f"services/{name}", "--python", sys.executable)
        return self.folder / "services" / name

    def _run(self, folder: str, *words: str) -> None:
        done = subprocess.run(
            words, cwd=self.folder / folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def said(self, name: str, words: str) -> list[dict[str, object]]:
        """The decisions of a service that say the words."""
        decisions = json.loads((self.folder / "services" / name / "extract.json").read_text())["decisions"]
        return [one for one in decisions if words in f"{one['place']} {one['says']}"]


def _plain(text: str) -> str:
    return dedent(text).lstrip("\n")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(_plain(text))


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Parcels:
    made = Parcels(tmp_path_factory.mktemp("parcels"))
    made.extract("boxes")
    made.extract("crates")
    return made


@pytest.fixture(scope="module")
def monolith(parcels: Parcels, clusters: tuple[Cluster, Cluster]) -> Cluster:
    tables.migrated(parcels.folder / "project", clusters[0], "parcels", **parcels.environment)
    return clusters[0]


@pytest.mark.parametrize("name", ["boxes", "crates"])
def test_the_tables_are_equal_and_nothing_points_out(
    name: str, parcels: Parcels, monolith: Cluster, clusters: tuple[Cluster, Cluster]
) -> None:
    service = clusters[1]
    tables.migrated(parcels.folder / "services" / name, service, f"of_{name}", **{**parcels.environment, **IN_SERVICE})

    singular = name.removesuffix("es") if name == "boxes" else name.removesuffix("s")
    names = [f"{name}_{singular}", f"{name}_{singular}_friends"]
    assert tables.tables(service, f"of_{name}", names) == tables.tables(monolith, "parcels", names)
    assert tables.pointing_elsewhere(service, f"of_{name}", names) == []


def test_the_service_installs_the_package_and_what_its_code_and_templates_need(parcels: Parcels) -> None:
    service = parcels.folder / "services/boxes"
    settings = (service / "site_/settings.py").read_text()

    for app in ("parcels.boxes", "parcels.goods", "signs", "django.contrib.auth", "django.contrib.messages"):
        assert f'"{app}' in settings.partition("MIDDLEWARE")[0]
    assert '"crates' not in settings
    assert "django.contrib.sites" not in settings.partition("MIDDLEWARE")[0]
    for field in ("boxes.Box.friends", "boxes.Box.item", "boxes.Box.owner"):
        assert f'"{field}",' in settings.partition("CHASSIS_LOOSE")[2]
    assert 'PARCELS_TOKEN_PARAM = "via"' in settings  # no secret: the package's own text says it
    assert not (service / "parcels").exists()
    urls = (service / "site_/urls.py").read_text()
    assert "login_required(views.listing)" in urls
    assert 'path("items/<int:pk>", elsewhere, name="item")' in urls


def test_what_code_of_the_package_asks_across_the_seam_is_listed(parcels: Parcels) -> None:
    views = "parcels/boxes/views.py"

    assert [one["place"] for one in parcels.said("boxes", "Item is goods.Item")] == [f"{views}:15"]
    assert parcels.said("boxes", f"{views}:16")[0]["says"] == "select_related(…item…) joins goods_item, which stays"
    assert parcels.said("boxes", f"{views}:20 box.item.name reads a row of goods.Item")
    assert parcels.said("boxes", "abstract_models.py:17 self.item.name reads a row")
    asked = parcels.said("boxes", "code of the package asks for rows of goods_item, which stays, at 4 places")
    assert [one["open"] for one in asked] == [True]
    weighing = parcels.said("boxes", "MIDDLEWARE: parcels.boxes.middleware.Weighing was left out")[0]
    assert weighing["open"]
    assert "request.scale" in str(weighing["says"])
    assert "parcels/boxes/templates/boxes/list.html:2" in str(weighing["says"])


def test_a_field_of_a_package_s_abstract_model_is_declared_anew(parcels: Parcels) -> None:
    models = (parcels.folder / "services/crates/crates/models.py").read_text()

    assert "from standins.fields import loosened\n" in models
    assert "class Crate(AbstractBox):\n    '''A large box.'''\n" in models
    assert '    owner = loosened(AbstractBox, "owner", to="standins.User")\n' in models
    assert '    friends = loosened(AbstractBox, "friends", to="standins.User")\n' in models
    assert '    item = loosened(AbstractBox, "item", to="standins.Item")\n' in models
    assert "CHASSIS_LOOSE" not in (parcels.folder / "services/crates/site_/settings.py").read_text()
    told = parcels.said("crates", "crates.Crate.owner is declared by parcels.boxes.abstract_models.AbstractBox")
    assert [(one["place"], one["open"]) for one in told] == [("crates/models.py:6", False)]


FOLLOWED = """
from chassis.identity.remote import user_of
from chassis.references.loose import ElsewhereError
from parcels.boxes.models import Box

told = {"id": 5, "username": "ann", "is_active": True, "is_staff": False, "is_superuser": False, "groups": ["a"]}
user = user_of({**told, "permissions": ["boxes.add_box"], "attributes": {"email": "ann@example.com"}})
box = Box.objects.create(owner=user, item_id=7, name="b")
box.friends.add(user)
assert list(user.boxes.all()) == [box] == list(Box.objects.filter(owner=user).select_related("owner", "item"))
box = Box.objects.select_related("owner", "item").get()
assert box.owner == user and box.owner.pk == 5 and box.item.pk == 7 and box.friends.count() == 0
assert (user.username, user.email, str(user)) == ("ann", "ann@example.com", "ann")
assert user.has_perm("boxes.add_box") and user.is_authenticated and user.groups.exists()
for call in (lambda: box.item.name, lambda: user.password, user.save, box.owner.delete):
    try:
        call()
    except ElsewhereError as error:
        assert "at the side that owns it" in str(error), error
    else:
        raise SystemExit("it did not raise")
print("followed")
"""


def test_code_of_the_package_follows_loose_relations_by_their_keys(
    parcels: Parcels, clusters: tuple[Cluster, Cluster]
) -> None:
    folder = parcels.folder / "services/boxes"
    environment = {**parcels.environment, **IN_SERVICE, "OPEN_WITHOUT_MOVE": "true"}
    tables.migrated(folder, clusters[1], "followed", **environment)

    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--command", FOLLOWED],
        cwd=folder,
        env={**environment, **tables.at(clusters[1], "followed")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "followed" in done.stdout
