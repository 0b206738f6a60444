"""What a project tells of its settings and of its URL patterns: facts as JSON holds them, and no secret."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from chassis.inspection import chosen, mounted, programs, secrecy
from django.urls import include, path, re_path
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "x"),
        ("SECRET_KEY_FALLBACKS", ["x"]),
        ("EMAIL_HOST_PASSWORD", "x"),
        ("STRIPE_API_KEY", b"x"),
        ("apiKey", "x"),
        ("SENTRY_DSN", "https://abc@sentry.example/1"),
        ("CACHE", "redis://:x@cache:6379"),
        ("PEM", "-----BEGIN RSA PRIVATE KEY-----\nx"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ],
)
def test_secrets_are_known_by_their_names_and_by_what_they_are(name: str, value: object) -> None:
    assert secrecy.is_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("PASSWORD_HASHERS", ["a.B"]),
        ("TOKEN_LIFETIME", 3),
        ("USE_TOKENS", True),
        ("CSRF_COOKIE_NAME", "csrf"),
        ("token", "60/min"),
        ("TOKEN_SERIALIZER", "shop.tokens.Serializer"),
        ("KEYBOARD", "qwerty"),
        ("SITE_URL", "https://shop.example"),
    ],
)
def test_what_only_sounds_like_a_secret_is_none(name: str, value: object) -> None:
    assert not secrecy.is_secret(name, value)


def test_settings_are_told_with_their_place_and_without_secrets(settings: Any) -> None:
    settings.CHASSIS_DAYS = timedelta(days=2)
    settings.CHASSIS_WORDS = {
        "a": gettext_lazy("b"),
        "c": ("d", None),
        "url": "redis://:hunter2@x",
        "password": "hunter2",
    }
    settings.CHASSIS_FOLDER = Path.cwd() / "x"
    settings.CHASSIS_OBJECT = object()
    found = {one["name"]: one for one in chosen.chosen()}

    assert "hunter2" not in json.dumps(found)
    assert found["SECRET_KEY"]["kind"] == "secret"
    assert "value" not in found["SECRET_KEY"]
    assert found["CHASSIS_DAYS"]["value"] == {"$seconds": 172800.0}
    assert found["CHASSIS_WORDS"]["value"] == {
        "a": "b",
        "c": {"$tuple": ["d", None]},
        "url": {"$environment": "CHASSIS_WORDS_URL"},
        "password": {"$environment": "CHASSIS_WORDS_PASSWORD"},
    }
    assert found["CHASSIS_FOLDER"]["value"] == {"$path": "x"}
    assert (found["CHASSIS_OBJECT"]["kind"], found["CHASSIS_OBJECT"]["type"]) == ("opaque", "object")
    assert set(found["DATABASES"]["value"]["default"]) == {"ENGINE", "ATOMIC_REQUESTS"}
    assert "rest_framework" in found["REST_FRAMEWORK"]["readers"]
    assert "chassis" in found["CHASSIS_AUDIENCE"]["readers"]


def test_a_setting_has_the_place_of_its_last_assignment_and_whether_it_is_the_only_one() -> None:
    found = chosen._places("project")

    assert found["REST_FRAMEWORK"]["place"].rpartition(":")[0].endswith("project.py")
    assert found["REST_FRAMEWORK"]["once"] is True
    assert found["DATABASES"]["once"] is False


class Shelf(View):
    def get(self, request: Any) -> None: ...


class Page(TemplateView):
    template_name = "page.html"


class Books(ViewSet):
    def list(self, request: Any) -> Response:
        return Response()


def bare(request: Any) -> None: ...


urlpatterns = [
    path(
        "a/",
        include(([path("<int:pk>", bare, {"x": 1}, name="one"), re_path(r"^b/(?P<y>\d+)$", bare)], "app"), "space"),
    ),
    path("shelf", Shelf.as_view(), name="shelf"),
    path("kept", never_cache(bare)),
    path("books", Books.as_view({"get": "list"}, suffix="List")),
    path("odd", Page.as_view(extra_context={"x": object()})),
]


def test_patterns_are_told_as_they_are_written(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    one, other, shelf, kept, books, odd = mounted.mounted()

    assert (one["template"], one["name"], one["spaces"], one["kwargs"]) == (
        "/a/{}",
        "one",
        [["app", "space"]],
        {"x": 1},
    )
    assert [(piece["kind"], piece["text"]) for piece in other["chain"]] == [
        ("path", "a/"),
        ("regex", r"^b/(?P<y>\d+)$"),
    ]
    assert (shelf["kind"], shelf["wrapped"]) == ("class", [])
    assert (books["kind"], books["actions"], books["given"]["suffix"]) == ("viewset", {"get": "list"}, "List")
    assert books["wrapped"] == []
    assert len(kept["wrapped"]) == 1
    assert odd["untold"] == ["extra_context"]
    json.dumps([one, other, shelf, kept, books, odd])


def test_a_schedule_is_told_as_python_spells_it() -> None:
    crontab = pytest.importorskip("celery.schedules").crontab
    told = programs._entry("x", {"task": "a.b", "schedule": crontab(minute=5), "options": {"expires": 3}})
    untold = programs._entry("x", {"task": "a.b", "schedule": object()})

    assert told["every"] == "crontab(minute=5)"
    assert told["imports"] == ["from celery.schedules import crontab"]
    assert told["rest"] == {"options": "{'expires': 3}"}
    assert untold["every"] == ""
    assert programs._every(timedelta(minutes=1)) == ("60", [])
