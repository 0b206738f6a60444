"""A project's tests are recorded as they are: which requests, which rows each has left, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
import pytest

SETTINGS = """
import os
from chassis import environment
SECRET_KEY = "a-key-for-tests-of-more-than-thirty-two-bytes"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "rest_framework", "notes",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "notes.urls"
LOGIN_URL = "/enter/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
if "DATABASE_URL" in os.environ:
    DATABASES = {"default": environment.database(application="notes") | {"TEST": {"NAME": "test_notes"}}}
"""
FILES = {
    "manage.py": "import os, sys\nfrom django.core.management import execute_from_command_line\n"
    'os.environ["DJANGO_SETTINGS_MODULE"] = "settings"\n'
    'if __name__ == "__main__":\n    execute_from_command_line(sys.argv)\n',
    "settings.py": SETTINGS,
    "notes/__init__.py": "",
    "notes/models.py": """
import django
from django.db import models
if django.VERSION >= (5, 2):
    class Seat(models.Model):
        pk = models.CompositePrimaryKey("row", "number")
        row = models.CharField(max_length=5)
        number = models.IntegerField()
        taken = models.BooleanField(default=False)
class Book(models.Model):
    title = models.CharField(max_length=50, unique=True)
class Note(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, null=True)
    text = models.TextField()
    stars = models.IntegerField(default=0)
""",
    "notes/urls.py": """
import io, json
from django.db import connection, transaction
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response
from notes.models import Book, Note
TOKEN = "0123456789abcdef0123456789abcdef01234567"
def add(request):
    sent = json.loads(request.body)
    note = Note.objects.create(text=sent["text"])
    return JsonResponse({"id": note.pk, "text": note.text}, status=201)
def star(request, pk):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notes_note SET stars = stars + 1 WHERE id = %s", [pk])
    return JsonResponse({})
def fail(request):
    with transaction.atomic():
        Note.objects.create(text="never")
        transaction.set_rollback(True)
    return JsonResponse({}, status=409)
def burn(request):
    Book.objects.all().delete()
    return HttpResponseRedirect("/")
def many(request):
    Note.objects.bulk_create([Note(text="a"), Note(text="b")])
    return JsonResponse({})
def shut(request):
    request._stream = io.BytesIO()
    request._stream.close()
    return JsonResponse({})
def enter(request):
    return JsonResponse({"access": TOKEN})
def pour(request):
    with connection.cursor() as cursor, cursor.copy("COPY notes_note (text, stars) FROM STDIN") as copy:
        copy.write_row(("poured", 2))
    return JsonResponse({})
def seat(request):
    from notes.models import Seat
    Seat.objects.create(row="A", number=7)
    Seat.objects.filter(row="A", number=8).update(taken=True)
    return JsonResponse({})
def aside(request):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE aside (n int)")
        cursor.execute("INSERT INTO aside VALUES (1)")
        cursor.execute("UPDATE notes_note SET stars = 2")
    return JsonResponse({})
def page(request):
    return HttpResponse(PAGE)
PAGE = '''<form action="7/back/"><input type=hidden name=csrfmiddlewaretoken value=t0kent0kent0ken>
<input type=hidden name=version value=3><input type=hidden name=next value="0123456789abcdef01234567">
<select name=room><option value="">-<option value=a>A</select><a href="http://elsewhere/notes/8/">x</a>
<a href="http://testserver/notes/9/?q=1">y</a><button formaction="/notes/7/star/"><li data-url="/notes/10/">'''
async def quick(request):
    note = await Note.objects.acreate(text=json.loads(request.body)["text"])
    return JsonResponse({"id": note.pk})
@api_view(["POST"])
def who(request):
    return Response({"name": request.user.username, "sent": request.data["text"]})
urlpatterns = [
    path("notes/", add), path("notes/<int:pk>/star/", star), path("fail/", fail), path("burn/", burn),
    path("many/", many), path("shut/", shut), path("enter/", enter), path("quick/", quick), path("who/", who),
    path("pour/", pour), path("seat/", seat), path("aside/", aside), path("page/", page),
]
""",
    "notes/tests.py": """
import django
from django.db import connection
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, TestCase, TransactionTestCase
from rest_framework.test import APIClient
from notes.models import Book, Note
JSON = {"content_type": "application/json"}
class Notes(TestCase):
    def test_a_note_is_made_and_starred(self):
        made = self.client.post("/notes/", {"text": "one"}, **JSON)
        self.client.post(f"/notes/{made.json()['id']}/star/")
        self.assertEqual(Note.objects.get().stars, 1)
    def test_nothing_is_left(self):
        self.client.post("/fail/")
        self.assertFalse(Note.objects.exists())
    def test_a_book_takes_its_notes_along(self):
        Note.objects.create(book=Book.objects.create(title="b"), text="in it")
        self.client.post("/burn/")
    def test_queries_are_counted_as_ever(self):
        with self.assertNumQueries(1):
            self.client.post("/many/")
    def test_a_user_is_not_looked_up(self):
        self.client.force_login(User.objects.create_user("eve"))
        with self.assertNumQueries(1):
            self.client.post("/many/")
    def test_a_token_of_an_answer(self):
        token = self.client.post("/enter/", {"username": "ada", "password": "opensesame"}, **JSON).json()["access"]
        self.client.post("/notes/", {"text": "two"}, headers={"authorization": f"Bearer {token}"}, **JSON)
        self.client.post("/enter/", {"token": token, "again": token}, **JSON)
    def test_a_form(self):
        self.client.force_login(User.objects.create_user("ada"))
        self.client.post("/burn/", {"password": "opensesame", "colour": "blue"})
    def test_a_form_that_no_view_reads(self):
        picture = SimpleUploadedFile("a.png", b"x" * 3_000_000)
        self.client.post("/shut/", {"colour": "blue", "pictures": [picture]})
        self.client.post("/many/", b"junk", content_type="multipart/form-data")
        self.client.post("/many/")
    def test_who(self):
        client = APIClient()
        client.force_authenticate(User.objects.create_user("root", is_staff=True))
        assert client.post("/who/", {"text": "x"}, format="json").json() == {"name": "root", "sent": "x"}
    async def test_quick(self):
        answer = await AsyncClient().post("/quick/", {"text": "three"}, **JSON)
        assert await Note.objects.filter(pk=answer.json()["id"]).aexists()
    def test_a_page(self):
        self.client.get("/page/")
    def test_many_rows(self):
        Note.objects.bulk_create(Note(text="x") for _ in range(2001))
        self.client.post("/aside/")
class Seats(TestCase):
    def test_a_seat(self):
        if django.VERSION >= (5, 2):
            from notes.models import Seat
            Seat.objects.create(row="A", number=8)
            self.client.post("/seat/")
class Poured(TestCase):
    def test_rows_are_poured(self):
        if connection.vendor == "postgresql":
            self.client.post("/pour/")
class Committed(TransactionTestCase):
    def test_a_note_is_made(self):
        self.client.post("/notes/", {"text": "four"}, **JSON)
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("notes")
    for name, text in FILES.items():
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(text)
    return made


def recorded(folder: Path, name: str, *command: str, on_postgresql: bool = False) -> list[dict[str, Any]]:
    environment = {**os.environ, "STRANGLER_RECORDING": str(folder / name)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    if not on_postgresql:
        environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "chassis.testing.recording", *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for part in sorted(folder.glob(f"{name}.*")) for line in part.read_text().splitlines()]


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[dict[str, Any]]:
    return recorded(folder, "plain", "manage.py", "test")


def of(lines: list[dict[str, Any]], test: str) -> list[dict[str, Any]]:
    return [each for each in lines if each["kind"] == "request" and each["test"].endswith(test)]


def changes(call: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["table"], each["kind"]) for each in call["rows"]]


def test_the_project_is_described_once(lines: list[dict[str, Any]]) -> None:
    project, *others = [each for each in lines if each["kind"] == "project"]

    assert not others
    assert project["login"] == "/enter/"
    assert project["tables"]["notes_note"]["parents"] == {"book_id": ["notes_book", "CASCADE"]}
    assert project["tables"]["notes_book"]["columns"]["title"]["unique"] is True


def test_rows_are_what_is_left_after_a_request(lines: list[dict[str, Any]]) -> None:
    made, starred = of(lines, "test_a_note_is_made_and_starred")

    assert changes(made) == [("notes_note", "insert")]
    assert made["rows"][0]["values"].items() >= {"text": "one", "stars": "0", "book_id": None}.items()
    assert changes(starred) == [("notes_note", "update")]
    assert starred["rows"][0]["values"] == {"stars": "1"}
    assert (starred["template"], starred["ids"]) == ("/notes/{pk}/star/", [{"call": 0, "in": ["id"]}])


@pytest.mark.parametrize(
    ("test", "left"),
    [
        ("test_nothing_is_left", []),
        ("test_a_book_takes_its_notes_along", [("notes_book", "delete"), ("notes_note", "delete")]),
        ("test_queries_are_counted_as_ever", [("notes_note", "insert"), ("notes_note", "insert")]),
        ("test_quick", [("notes_note", "insert")]),
        ("Committed.test_a_note_is_made", [("notes_note", "insert")]),
    ],
)
def test_however_a_row_is_written(lines: list[dict[str, Any]], test: str, left: list[tuple[str, str]]) -> None:
    assert sorted(changes(of(lines, test)[0])) == left


def test_a_secret_is_told_by_its_origin_alone(lines: list[dict[str, Any]], folder: Path) -> None:
    entered, added, again = of(lines, "test_a_token_of_an_answer")

    assert entered["body"] == {"username": "ada", "password": {"$secret": "password"}}
    assert entered["answer"] == {"access": "***"}
    assert (added["access"], added["token"]) == ("Bearer", {"call": 0, "in": ["access"]})
    assert again["body"] == {
        "token": {"$from": {"call": 0, "in": ["access"]}},
        "again": {"$from": {"call": 0, "in": ["access"]}},
    }
    written = "".join(part.read_text() for part in folder.glob("plain.*"))
    assert "0123456789abcdef" not in written
    assert "opensesame" not in written
    assert "sessionid" not in written


def test_who_asks_is_told_by_kind(lines: list[dict[str, Any]]) -> None:
    (form,) = of(lines, "test_a_form")
    (forced,) = of(lines, "test_who")

    assert (form["access"], form["form"], form["location"]) == ("session", True, "/")
    assert form["body"] == {"password": {"$secret": "password"}, "colour": "blue"}
    assert (forced["access"], forced["signed_in"], forced["staff"]) == ("forced", True, True)


def test_a_form_is_read_though_its_view_has_closed_it(lines: list[dict[str, Any]]) -> None:
    first, second = of(lines, "test_a_form_that_no_view_reads")

    assert (first["body"], first["files"], first["form"]) == ({"colour": "blue"}, ["pictures"], True)
    assert (second["body"], second["path"]) == ({}, "/many/")


def test_a_request_that_cannot_be_recorded_is_told(lines: list[dict[str, Any]]) -> None:
    assert [one for one in lines if one["kind"] == "unread"] == [
        {"kind": "unread", "method": "POST", "path": "/many/", "error": "MultiPartParserError"}
    ]


def test_a_page_is_told_by_where_it_leads_and_what_its_forms_hold(lines: list[dict[str, Any]]) -> None:
    (shown,) = of(lines, "test_a_page")

    assert shown["page"] == {
        "paths": ["/page/7/back/", "/notes/9/", "/notes/7/star/", "/notes/10/"],
        "hidden": {"version": "3"},
        "choices": {"room": ["a"]},
    }
    assert of(lines, "test_who")[0]["page"] is None


def test_rows_that_are_not_seen_are_named_with_why(lines: list[dict[str, Any]]) -> None:
    (asked,) = of(lines, "test_many_rows")

    assert asked["rows"] == []
    assert asked["unseen"] == {"aside": "no model has it", "notes_note": "more than 2,000 rows"}
    assert not any(each["unseen"] for each in lines if each["kind"] == "request" and each is not asked)


@pytest.mark.skipif(django.VERSION < (5, 2), reason="this Django has no composite keys")
def test_a_key_of_several_columns_is_told_by_all_of_them(lines: list[dict[str, Any]]) -> None:
    (seated,) = of(lines, "test_a_seat")

    assert [(each["kind"], each["key"]) for each in seated["rows"]] == [
        ("update", {"row": "A", "number": "8"}),
        ("insert", {"row": "A", "number": "7"}),
    ]
    (project,) = [each for each in lines if each["kind"] == "project"]
    assert project["tables"]["notes_seat"]["key"] is None
    assert set(project["tables"]["notes_seat"]["columns"]) == {"row", "number", "taken"}


@pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="DATABASE_URL names no PostgreSQL")
def test_rows_that_the_driver_copies_are_told(folder: Path) -> None:
    found = recorded(folder, "poured", "manage.py", "test", "notes.tests.Poured", on_postgresql=True)
    (poured,) = of(found, "test_rows_are_poured")

    assert changes(poured) == [("notes_note", "insert")]
    assert poured["rows"][0]["values"].items() >= {"text": "poured", "stars": "2"}.items()


def test_a_parallel_run_is_recorded_too(folder: Path, lines: list[dict[str, Any]]) -> None:
    twice = recorded(folder, "parallel", "manage.py", "test", "--parallel", "2")

    def asked(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return sorted((each["test"], each["path"]) for each in found if each["kind"] == "request")

    assert asked(twice) == asked(lines)


def test_without_the_variable_nothing_is_written(folder: Path) -> None:
    before = set(folder.iterdir())
    without = ("STRANGLER_RECORDING", "DATABASE_URL", "DJANGO_SETTINGS_MODULE")
    environment = {name: value for name, value in os.environ.items() if name not in without}
    subprocess.run(
        [sys.executable, "-m", "chassis.testing.recording", "manage.py", "test", "notes.tests.Committed"],
        cwd=folder, env=environment, capture_output=True, check=True,
    )  # fmt: skip

    assert {each for each in folder.iterdir() if each.suffix != ""} == {each for each in before if each.suffix != ""}
