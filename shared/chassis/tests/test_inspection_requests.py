"""How a project's URL patterns are told as routes, with the methods that their views answer."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from chassis.inspection import programs, requests, urls
from django.conf.urls.i18n import i18n_patterns, is_language_prefix_patterns_used
from django.http import HttpResponse
from django.urls import clear_url_caches, path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.http import require_POST
from rest_framework.viewsets import ModelViewSet


def page(request: Any, **_: Any) -> HttpResponse:
    return HttpResponse()


def other(request: Any, **_: Any) -> HttpResponse:
    return HttpResponse()


class ReadAndWritten(ModelViewSet):
    http_method_names = ("get", "post")


@pytest.fixture
def told(settings, monkeypatch):
    """The requests of a project that has these patterns alone, by path."""

    def told(*patterns: Any) -> dict[str, dict[str, Any]]:
        module = ModuleType("patterns_alone")
        module.urlpatterns = [*patterns]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__
        clear()
        return {one["path"]: one for one in requests.requests([])}

    yield told
    clear()


def clear() -> None:
    """Forgets what Django keeps of a project's patterns by their module's name."""
    clear_url_caches()
    is_language_prefix_patterns_used.cache_clear()


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        (path("loans/<int:pk>", page), ["/loans/{id}"]),
        (path("loans/<uuid:pk>/of/<slug:name>/", page), ["/loans/{a}/of/{b}/"]),
        (path("files/<path:name>", page), ["/files/*"]),
        (re_path(r"^files/(?P<name>.*)$", page), ["/files/*"]),
        (re_path(r"^loans/(?P<pk>\d+)/?$", page), ["/loans/{id}", "/loans/{id}/"]),
        (re_path(r"^(?P<year>\d{4})-(?P<month>\d\d)$", page), ["/{a}-{b}"]),
        (path("100%/<int:pk>", page), ["/100%25/{id}"]),
    ],
)
def test_a_pattern_is_told_as_routes(told, pattern, paths):
    assert list(told(pattern)) == paths


def test_a_variable_with_slashes_in_the_middle_takes_all_that_follows_and_that_is_said(told):
    (found,) = told(path("files/<path:name>/old/<int:pk>", page)).values()

    assert found["path"] == "/files/*"
    assert "takes slashes" in found["doubts"][0]


def test_another_pattern_of_the_same_view_makes_no_variable_wider(told):
    found = told(path("<slug:one>/<slug:two>", page), path("<slug:one>/<slug:two>/<slug:three>", page))

    assert list(found) == ["/{a}/{b}", "/{a}/{b}/{c}"]


def test_each_of_a_few_languages_is_a_route(told, settings):
    settings.LANGUAGE_CODE, settings.LANGUAGES, settings.USE_I18N = "en", [("en", "en"), ("pt-br", "pt")], True

    assert list(told(*i18n_patterns(path("a", page)))) == ["/en/a", "/pt-br/a"]
    assert list(told(*i18n_patterns(path("a", page), prefix_default_language=False))) == ["/a", "/pt-br/a"]


def test_many_languages_are_a_variable(told, settings):
    settings.LANGUAGE_CODE, settings.USE_I18N = "en", True
    settings.LANGUAGES = [(code, code) for code in ("en", "de", "fr", "it", "es", "pt", "nl")]

    assert list(told(*i18n_patterns(path("a", page)), path("b", page))) == ["/{language}/a", "/b"]
    assert list(told(*i18n_patterns(path("a", page), prefix_default_language=False))) == ["/a", "/{language}/a"]


def test_languages_that_are_not_looked_at_are_named(told, settings):
    settings.LANGUAGE_CODE, settings.USE_I18N = "en", True
    settings.LANGUAGES = [(code, code) for code in ("en", "de", "fr", "it", "es", "pt", "nl")]
    told(*i18n_patterns(path("a", page)))
    unknown: list[str] = []

    assert [one.template for one in urls.addresses(unknown)] == ["/en/a", "/de/a"]
    assert unknown == ["paths in 5 more languages of settings.LANGUAGES, taken to be as in de"]


def test_a_view_is_found_in_the_language_of_its_path(told, settings):
    settings.LANGUAGE_CODE, settings.LANGUAGES, settings.USE_I18N = "en", [("en", "en"), ("pt-br", "pt")], True
    told(*i18n_patterns(path("a", page)))

    assert urls.view_at("/pt-br/a") is page
    assert urls.view_at("/en/a") is page
    assert urls.view_at("/fr/a") is None


def test_methods_are_those_that_the_view_answers(told):
    def methods(view: Any) -> tuple[list[str], bool]:
        (found,) = told(path("a", view)).values()
        return list(found["methods"]), found["any"]

    assert methods(page) == (["GET", "POST", "PUT", "PATCH", "DELETE"], True)
    assert methods(require_POST(page)) == (["POST"], False)
    assert methods(ReadAndWritten.as_view({"get": "list", "post": "create", "delete": "destroy"})) == (
        ["GET", "POST"],
        False,
    )


class Posted(View):
    """Lets POST through by decorators of its methods, as packages do."""

    @method_decorator(require_POST)
    def dispatch(self, request: Any, *args: Any, **words: Any) -> Any:
        return super().dispatch(request, *args, **words)

    @method_decorator([require_POST])
    def act(self, request: Any) -> HttpResponse:
        return HttpResponse()

    def get(self, request: Any) -> HttpResponse:
        return HttpResponse()

    def post(self, request: Any) -> HttpResponse:
        return HttpResponse()


def test_methods_that_a_decorator_of_a_method_refuses_are_not_answered():
    assert urls.methods_of(Posted.as_view()) == ["POST"]
    assert urls.methods_of(Posted().act) == ["POST"]
    assert urls.methods_of(require_POST(Posted.as_view())) == ["POST"]
    assert urls.methods_of(method_decorator(require_POST, name="dispatch")(Posted).as_view()) == ["POST"]


def test_a_view_that_cannot_be_read_is_told_all_the_same(told, monkeypatch):
    def broken(*_: Any) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(requests.entries, "view", broken)

    (found,) = told(path("a", require_POST(other))).values()

    assert (found["methods"], len(found["doubts"])) == ({"POST": {"writes": [], "reads": []}}, 1)


@pytest.mark.parametrize(("value", "told"), [("a.wsgi.application", "a.wsgi:application"), ("", None), (None, None)])
def test_programs_are_named_as_servers_take_them(settings, value, told):
    settings.WSGI_APPLICATION = value

    assert programs.programs()["wsgi"] == told
