"""Routes as the chassis reads them are those of the tool, and say which paths they cover."""

from __future__ import annotations

import re

import pytest
from chassis.inspection import views
from chassis.inspection.routes import Route, RouteError
from strangler.adapters import toml_routes
from strangler.adapters.toml_section import Section
from strangler.domain.errors import ConfigurationError

ROUTES = [
    "GET,POST /api/invoices",
    "GET /api/invoices/{id}",
    "PATCH /api/{kind}/of-{reader_id}/lines",
    "* /api/dunning/*",
    "* /*",
    "POST /a.b+c(d)/é",
    "DELETE /",
    "GET /caf%C3%A9/{id}",
    "GET /a%3Ab",
]
PATHS = [
    "/",
    "/api/invoices",
    "/api/invoices/",
    "/api/invoices/7",
    "/api/invoices/7/lines",
    "/api/invoices/of-7/lines",
    "/api/dunning/",
    "/api/dunning/a/b\nc",
    "/api/dunning",
    "/a.b+c(d)/é",
    "/aXb+c(d)/é",
    "/café/7",
    "/a:b",
]


@pytest.mark.parametrize("text", ROUTES)
def test_a_route_matches_what_the_tool_makes_of_it(text):
    (of_the_tool,) = toml_routes.read(Section({"routes": [text]}, label="strangler.toml"), "routes")

    route = Route.parse(text)

    assert route.pattern == of_the_tool.pattern
    assert route.methods == of_the_tool.methods
    assert str(route) == str(of_the_tool)
    assert [path for path in PATHS if route.matches(path)] == [
        path for path in PATHS if re.fullmatch(of_the_tool.pattern, path, re.DOTALL)
    ]


def test_a_route_for_get_covers_head_as_the_tool_says():
    assert Route.parse("GET /a").covers("HEAD", "/a")
    assert not Route.parse("POST /a").covers("HEAD", "/a")


@pytest.mark.parametrize(
    "text",
    [
        "/api",
        "GET api",
        "FETCH /api",
        "GET",
        "",
        "GET /a b",
        "get /a",
        "GET /a/*/b",
        "GET /{Id}",
        "GET /a{",
        "GET /%ff",
    ],
)
def test_what_the_tool_refuses_as_no_route_is_refused(text):
    with pytest.raises(ConfigurationError):
        toml_routes.read(Section({"routes": [text]}, label="strangler.toml"), "routes")

    with pytest.raises(RouteError):
        Route.parse(text)


@pytest.mark.parametrize(
    ("route", "template", "meets"),
    [
        ("GET /api/invoices/{id}", "/api/invoices/{}", True),
        ("GET /api/invoices/{id}", "/api/invoices/{}/", False),
        ("GET /api/invoices/mine", "/api/invoices/{}", True),
        ("GET /api/invoices/{id}", "/api/invoices/mine", True),
        ("GET /api/invoices/{id}", "/api/loans/{}", False),
        ("GET /api/*", "/api/loans/{}", True),
        ("GET /api/in*", "/api/loans/{}", False),
        ("GET /api/in*", "/api/invoices/{}", True),
        ("GET /api/of-{id}", "/api/{}", True),
        ("GET /api/of-{id}", "/api/by-7", False),
    ],
)
def test_a_route_meets_templates_that_can_be_the_same_path(route, template, meets):
    assert Route.parse(route).meets(template) is meets


@pytest.mark.parametrize(
    ("middleware", "append", "route", "redirected"),
    [
        (["django.middleware.common.CommonMiddleware"], True, "GET /a", True),
        (["django.middleware.common.CommonMiddleware"], True, "GET /a/", False),
        (["django.middleware.common.CommonMiddleware"], True, "GET /a*", False),
        (["django.middleware.common.CommonMiddleware"], False, "GET /a", False),
        (["django.middleware.csrf.CsrfViewMiddleware"], True, "GET /a", False),
    ],
)
def test_a_slash_is_appended_only_where_django_does_so(settings, middleware, append, route, redirected):
    settings.MIDDLEWARE, settings.APPEND_SLASH = middleware, append

    assert views._is_redirected(Route.parse(route)) is redirected
