"""What comes along because a text names it, or because importing needs it: settings, tags, names of URLs, bases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from halves import asked, small_project
from strangler.domain.project import Capability
from strangler.domain.route import Route
from strangler.extract import extraction
from strangler.extract.draft import Kind
from strangler.extract.extraction import Asked, Extracted
from strangler.extract.source import draft_source

SETTINGS = """
SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.sessions", "django.contrib.messages", "django.contrib.humanize", "site_", "books", "chassis"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
    "site_.middleware.Rolling",
    "django.contrib.auth.middleware.AuthenticationMiddleware", "site_.middleware.Zoned",
    "site_.middleware.Counted", "django.contrib.messages.middleware.MessageMiddleware"]
ROOT_URLCONF = "site_.urls"
WSGI_APPLICATION = "site_.wsgi.application"
CSRF_FAILURE_VIEW = "site_.views.refused"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS":
    {"context_processors": ["django.template.context_processors.request", "site_.processors.title",
    "django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages"]}}]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHASSIS_IDENTITY_ATTRIBUTES = ["email"]
"""
URLS = """
from django.contrib import admin
from django.urls import include, path
from books import views
from site_ import views as site

urlpatterns = [
    path("", include(([
        path("", site.home, name="home"),
        path("books/", views.Books.as_view(), name="books"),
        path("inner/", include(([path("", site.home, name="deep")], "inner"))),
        path("books/new/", views.new, name="new"),
        path("profile/<int:pk>/", site.home, name="profile"),
        path("unnamed/", site.home, name="unnamed"),
    ], "shelf"))),
    path("admin/", admin.site.urls),
]
"""
FILES = {
    "strangler.toml": """
[project]
name = "small"
ledger = "monolith"
monolith = "web"
[databases.monolith]
embedded = true
[databases.books]
embedded = true
[processes.web]
directory = "."
command = ["true"]
database = "monolith"
http = true
address_env = "WEB_URL"
[processes.books]
directory = "service"
command = ["gunicorn", "site_.wsgi:application"]
database = "books"
http = true
[capabilities.books]
tables = ["books_book"]
process = "books"
database = "books"
routes = ["* /books/", "* /books/new/"]
""",
    "site_/wsgi.py": "",
    # It has a table, so that what is asked of it is asked through a port, if it can.
    "site_/models.py": """
from django.conf import settings
from django.db import models

class Profile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    size = models.IntegerField(default=10)
""",
    "site_/views.py": """
from django.http import HttpResponse
from django.views.generic import ListView
from site_.models import Profile

LABEL = "A list"

def titled(text):
    def decorator(function):
        function.title = text
        return function
    return decorator

class Paged(ListView):
    label = LABEL
    def get_paginate_by(self, queryset):
        return self.request.user.profile.size

class Profiles(ListView):
    model = Profile

def refused(request, reason=""):
    return HttpResponse(reason, status=403)

def home(request, pk=0):
    return HttpResponse(Profile.objects.count())
""",
    "site_/processors.py": "def title(request):\n    return {'title': 'Books'}\n\ndef other(request):\n    return {}\n",
    "site_/middleware.py": """
from django.utils import timezone
from site_.models import Profile

class Zoned:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        user = request.user
        if hasattr(user, "profile") and user.profile.size:
            timezone.activate("UTC")
        return self.get_response(request)

class Rolling:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        request.session["seen"] = 1
        return self.get_response(request)

class Counted:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        request.count = Profile.objects.count()
        return self.get_response(request)
""",
    "site_/templatetags/__init__.py": "",
    "site_/templatetags/shown.py": """
from django import template
from django.apps import apps

register = template.Library()

@register.filter
def loud(text):
    return text.upper()

@register.simple_tag
def version():
    return apps.get_app_config("site_").version

@register.inclusion_tag("site_/bar.html")
def bar():
    return {}
""",
    "site_/templatetags/quiet.py": "from django import template\n\nregister = template.Library()\n",
    "site_/templates/site_/bar.html": "{% load quiet %}<a href='{% url 'admin:books_book_changelist' %}'>all</a>",
    "books/__init__.py": "",
    "books/models.py": """
from django.conf import settings
from django.db import models

class Book(models.Model):
    title = models.CharField(max_length=50)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
""",
    "books/views.py": """
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.shortcuts import redirect
from django.urls import reverse
from books.models import Book
from site_.views import Paged, titled

class Books(LoginRequiredMixin, Paged):
    model = Book
    template_name = "books/all.html"

@login_required
@titled("new")
def new(request):
    book = Book(title=request.POST["title"])
    book.owner = request.user
    book.save()
    return redirect(reverse("shelf:profile", args=[request.user.pk]))
""",
    "books/templates/books/all.html": """{% load shown %}{% load intcomma from humanize %}{% bar %}{{ 1000|intcomma }}
{% for book in object_list %}{{ book.title|loud }}{% endfor %}
<a href="{% url 'shelf:home' %}">home</a> <a href="{% url 'shelf:inner:deep' %}">deep</a> {{ user.get_full_name }}
""",
}
ASKED = """
import os
from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.urls import reverse
from chassis.identity.remote import RemoteUser
from books.models import Book

told = {"id": 7, "username": "ada", "is_active": True, "is_staff": False, "is_superuser": False, "groups": [],
    "permissions": [], "attributes": {"first_name": "Ada", "last_name": "L", "profile.size": 3}}
user = RemoteUser(told)
book = Book(title="x", owner=user)
assert (book.owner_id, book.owner.get_full_name()) == (7, "Ada L")
for name, words in (("shelf:books", []), ("shelf:new", []), ("shelf:home", []), ("shelf:profile", [7]),
                    ("shelf:inner:deep", [])):
    reverse(name, args=words)
request = RequestFactory().get("/books/")
request.user = user
print(render_to_string("books/all.html", {"object_list": [book]}, request))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("named"), FILES, SETTINGS, URLS)


@pytest.fixture(scope="module")
def books(folder: Path) -> Extracted:
    """The service, which Django has checked."""
    routes = [Route(frozenset({"GET", "POST"}), path) for path in ("/books/", "/books/new/")]
    capability = Capability("books", ["books_book"], routes, "books", "books")
    wanted = Asked(asked(folder), capability, folder, folder / "strangler.toml", folder / "service",
                   Path(sys.executable), asked_at="WEB_URL")  # fmt: skip
    return extraction.write(extraction.draft(wanted, draft_source, lambda what: None), lambda what: None)


def text(folder: Path, path: str) -> str:
    return (folder / "service" / path).read_text()


def told(done: Extracted, kind: Kind, words: str) -> list[bool]:
    """Which decisions of a kind say the words, and whether they are open."""
    found = [one.decision for one in done.work.entries if one.decision.kind is kind]
    return [one.open for one in found if words in f"{one.says} {one.remedy}"]


def test_bases_and_decorators_come_along_although_their_app_has_a_table(folder: Path, books: Extracted) -> None:
    taken = text(folder, "site_/views.py")

    assert "class Paged(ListView)" in taken
    assert "def titled(text)" in taken
    assert 'LABEL = "A list"' in taken
    assert "Profile" not in taken
    assert not (folder / "service/books/ports").exists()


def test_of_modules_that_settings_name_what_is_named_comes_along(folder: Path, books: Extracted) -> None:
    settings, middleware = text(folder, "site_/settings.py"), text(folder, "site_/middleware.py")

    assert '"site_.middleware.Zoned"' in settings
    assert "class Zoned" in middleware
    assert "site_.processors.title" in settings
    assert "def other" not in text(folder, "site_/processors.py")
    assert 'CSRF_FAILURE_VIEW = "site_.views.refused"' in settings
    assert "def refused" in text(folder, "site_/views.py")
    assert '"site_"' not in settings.partition("MIDDLEWARE")[0]


def test_middleware_that_cannot_work_there_is_left_out_with_the_reason(folder: Path, books: Extracted) -> None:
    settings = text(folder, "site_/settings.py")

    assert "Rolling" not in settings
    assert "Counted" not in settings
    assert told(books, Kind.SETTING, "Rolling was left out: it writes the session") == [False]
    assert told(books, Kind.SETTING, "Counted was left out: it uses site_.models.Profile, a model that stays") == [True]


def test_libraries_of_tags_that_pages_load_come_along_and_what_they_load_in_turn(
    folder: Path, books: Extracted
) -> None:
    settings = text(folder, "site_/settings.py")

    assert '"shown": "site_.templatetags.shown"' in settings
    assert '"quiet": "site_.templatetags.quiet"' in settings
    assert '"django.contrib.humanize"' in settings
    assert told(books, Kind.FILE, "{% load") == []
    assert told(books, Kind.IMPORT, 'get_app_config("site_") asks for an app that is not installed here') == [True]


def test_names_of_urls_that_stay_can_be_linked_to_and_no_others_are_there(folder: Path, books: Extracted) -> None:
    urls = text(folder, "site_/urls.py")

    assert urls.count('"shelf"') == 1
    assert 'path("profile/<int:pk>/", elsewhere, name="profile")' in urls
    assert 'path("admin/books/book/", elsewhere, name="books_book_changelist")' in urls
    assert "unnamed" not in urls
    assert told(books, Kind.ROUTE, "routes that stay") == [False]


def test_what_is_read_of_the_caller_is_one_line_for_the_monolith(books: Extracted) -> None:
    line = 'CHASSIS_IDENTITY_ATTRIBUTES = ["email", "first_name", "last_name", "profile.size"]'

    assert told(books, Kind.ACCESS, line) == [True]


def test_the_service_makes_pages_and_rows_of_the_caller(folder: Path, books: Extracted) -> None:
    assert told(books, Kind.QUERY, "book.owner is set to the user of the request") == [False]
    done = run(folder / "service", "shell", "--command", ASKED)

    assert done.returncode == 0, done.stderr
    assert "X" in done.stdout
    assert 'href="/inner/"' in done.stdout
    assert "/admin/books/book/" in done.stdout
    assert "Ada L" in done.stdout
    assert "1,000" in done.stdout


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    names = ("SECRET_KEY", "IDENTITY_SECRET", "WEB_URL", "DATABASE_URL", "GATEWAY_URL", "INTERNAL_URL")
    secret = "a-secret-of-more-than-thirty-two-characters"
    given = {**dict.fromkeys(names, secret), "WEB_URL": "http://127.0.0.1:1",
             "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}  # fmt: skip
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run([sys.executable, "manage.py", *words], cwd=folder, env={**known, **given},
                          capture_output=True, text=True, check=False)  # fmt: skip
