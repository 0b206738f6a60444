"""Routes in `strangler.toml`: their limits, and routes that no request can match."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from strangler.adapters import toml
from strangler.domain.errors import ConfigurationError
from strangler.domain.limit import ACCOUNT, CLIENT, EVERYTHING, Limit
from strangler.domain.project import CLOSED, MAX_BODY, Issuer, Project
from strangler.domain.route import Route, covers

FILE = """
[project]
name = "depot"
ledger = "old"
monolith = "web"

[gateway]
%s

[databases.old]
embedded = true

[databases.new]
embedded = true

[processes.web]
address = "http://web"

[processes.things]
address = "http://things"

[secrets]
%s

[capabilities.things]
tables = ["thing"]
process = "things"
database = "new"
routes = [%s]

[capabilities.boxes]
tables = ["box"]
process = "things"
database = "new"
routes = ["GET /boxes"]
"""


def load(tmp_path: Path, *, routes: str = '"* /things"', gateway: str = "", secrets: str = "") -> Project:
    path = tmp_path / "strangler.toml"
    path.write_text(FILE % (gateway, secrets, routes))
    return toml.load(path)


def refusal(tmp_path: Path, **parts: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, **parts)
    assert caught.value.place
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    "route",
    [
        "GET things",
        "get /things",
        "Get /things",
        "GET  /things",
        "GET,/things",
        "GET, POST /things",
        "GET /things?a=1",
        "GET /things#part",
        "GET /things/a b",
        "GET /things/**",
        "GET /*/things",
        "GET /things/*/parts",
        "GET /things/{Id}",
        "GET /things/{id2}",
        "GET /things/{}",
        "GET /things/{id",
        "GET /things/id}",
        "TRACE /things",
        "CONNECT /things",
        "PURGE /things",
        "GET /things/./a",
        "GET /things/../a",
        "GET /things/%2e%2e/a",
        "GET /things//a",
        "GET //things",
        "GET /things%2Fa",
        "GET /things/%7Bid%7D",
        "GET /things/%2A",
        "GET /things/%3Fa",
        "GET /things/%",
        "GET /things/%zz",
        "GET /things/%ff",
        "GET /things/%00",
        "GET /things/%20",
        "GET /things\\\\a",
        "http://host/things",
        "GET",
        "",
    ],
)
def test_a_route_that_no_request_can_match_is_refused(tmp_path: Path, route: str) -> None:
    error = refusal(tmp_path, routes=f'"{route}"')

    assert error.place == "strangler.toml: capabilities.things.routes[0]"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("/caf\u00e9", ["/caf%C3%A9", "/caf%c3%a9"]),
        ("/caf%C3%A9", ["/caf%C3%A9"]),
        ("/\u5546/{id}", ["/%E5%95%86/7"]),
        ("/things:find", ["/things:find", "/things%3Afind", "/things%3afind"]),
        ("/a@b;c=1,2+3*", ["/a@b;c=1,2+3", "/a%40b%3Bc%3D1%2C2%2B3/more"]),
        ("/%74hings", ["/things"]),
        ("/%2541", ["/%2541"]),
    ],
)
def test_a_route_matches_however_its_path_is_written(tmp_path: Path, written: str, asked: list[str]) -> None:
    [route] = load(tmp_path, routes=f'"GET {written}"').capabilities["things"].routes

    assert all(re.fullmatch(route.written_pattern, path) for path in asked)


@pytest.mark.parametrize(
    "routes",
    [
        '"GET /boxes"',
        '"* /boxes"',
        '"HEAD /boxes"',
        '"* /*"',
        '"* /{any}"',
        '"* /things/*", "GET /things/a"',
        '"GET /things/{id}", "HEAD /things/7"',
        '"GET /things", "GET /things"',
        '"* /admin/*"',
        '"GET /metrics"',
        '"GET /admin/users"',
    ],
)
def test_a_route_that_another_leaves_nothing_is_refused(tmp_path: Path, routes: str) -> None:
    assert "routes[" in str(refusal(tmp_path, routes=routes).place)


@pytest.mark.parametrize(
    "routes", ['"* /admin/*"', '"GET /things/a", "* /things/*"', '"GET /things/{id}", "GET /things/{id}/"']
)
def test_a_narrower_route_may_come_first(tmp_path: Path, routes: str) -> None:
    load(tmp_path, routes=routes, gateway='open = ["/admin/*"]')


def test_a_route_has_limits_of_its_own(tmp_path: Path) -> None:
    routes = '"GET /things", { route = "POST /things/import", timeout = "10m", max_body = "64MiB" }'
    gateway = 'max_body = "2MiB"\nroutes = [{ route = "GET /reports/*", timeout = "120s" }]'

    project = load(tmp_path, routes=routes, gateway=gateway)

    assert project.capabilities["things"].routes == [
        Route(frozenset({"GET"}), "/things"),
        Route(frozenset({"POST"}), "/things/import", timeout=600, max_body=64 << 20),
    ]
    assert project.gateway.routes == (Route(frozenset({"GET"}), "/reports/*", timeout=120),)
    assert (project.gateway.max_body, project.largest_body) == (2 << 20, 64 << 20)


def test_tables_of_routes_may_stand_alone(tmp_path: Path) -> None:
    gateway = '[[gateway.routes]]\nroute = "GET /events"\ntimeout = "none"'

    [route] = load(tmp_path, gateway=gateway).gateway.routes

    assert route == Route(frozenset({"GET"}), "/events", timeout=0)


@pytest.mark.parametrize(
    ("gateway", "place"),
    [
        ('max_body = "0"', "gateway.max_body"),
        ('max_body = "16MB"', "gateway.max_body"),
        ("max_body = 16", "gateway.max_body"),
        ('routes = [{ route = "GET /a", timeout = "fast" }]', "gateway.routes[0].timeout"),
        ('routes = [{ route = "GET /a", timeout = "0s" }]', "gateway.routes[0].timeout"),
        ('routes = [{ route = "GET /a", timeout = "25h" }]', "gateway.routes[0].timeout"),
        ('routes = [{ route = "GET /a", time = "25h" }]', "gateway.routes[0].time"),
        ('routes = [{ timeout = "5s" }]', "gateway.routes[0].route"),
        ('routes = [{ route = "GET /boxes" }]', "gateway.routes[0]"),
        ('routes = ["GET /a", 7]', "gateway.routes[1]"),
        ('open = ["/boxes"]', "gateway.open[0]"),
        ('open = ["admin"]', "gateway.open[0]"),
        ('closed = ["/{any}"]', "gateway.closed[0]"),
        ('closed = ["/*"]', "gateway.closed[0]"),
        ('closed = ["/boxes/*"]', "capabilities.boxes.routes[0]"),
        ('internal = ["boxes"]', "gateway.internal[0]"),
        ('internal = ["/boxes", "/boxen"]', "gateway.internal[1]"),
        ('internal = ["/admin/boxes"]', "gateway.internal[0]"),
        ('internal = ["/boxes"]\nclosed = ["/boxes"]', "gateway.internal[0]"),
        ('internal = ["/boxes"]\nopen = ["/things"]', "gateway.open[0]"),
        (
            'internal = ["/boxes"]\n[gateway.limits.all]\nrate = "1/s"\nroutes = ["* /boxes"]',
            "gateway.limits.all.routes[0]",
        ),
        ('[gateway.tokens.shop]\njwks = "/metrics/keys"', "gateway.tokens.shop.jwks"),
        ('headers = { X-Frame = "DENY" }', "gateway.headers.X-Frame"),
        ('headers = { Set-Cookie = "a=b" }', "gateway.headers.Set-Cookie"),
        ('headers = { X-Frame-Options = "DENY", x-frame-options = "DENY" }', "gateway.headers.x-frame-options"),
        ('headers = { X-Frame-Options = "" }', "gateway.headers.X-Frame-Options"),
        ('headers = { X-Frame-Options = "DENY\\r\\nA: b" }', "gateway.headers.X-Frame-Options"),
        ('headers = { X-Frame-Options = "\u00c4" }', "gateway.headers.X-Frame-Options"),
        ("headers = { X-Frame-Options = true }", "gateway.headers.X-Frame-Options"),
        ('headers = { Strict-Transport-Security = "1y" }', "gateway.headers.Strict-Transport-Security"),
        ("port = 8080\nadmin_port = 8080", "gateway.admin_port"),
        ("port = 8080\ninternal_port = 8080", "gateway.internal_port"),
        ("admin_port = 8080\ninternal_port = 8080", "gateway.internal_port"),
        ('internal = ["/boxes"]\naddress = "http://gate"', "gateway.internal_address"),
        ('internal = ["/boxes"]\ninternal_address = "http://within"', "gateway.internal_address"),
        ('address = "http://gate"\ninternal_address = "http://gate"', "gateway.internal_address"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(tmp_path: Path, gateway: str, place: str) -> None:
    assert refusal(tmp_path, gateway=gateway).place == f"strangler.toml: {place}"


@pytest.mark.parametrize(
    ("gateway", "closed"),
    [
        ("", list(CLOSED)),
        ('open = ["/admin/*"]', ["/metrics", "/healthz", "/readyz", "/.strangler"]),
        ('open = ["/static/admin"]', ["/admin", "/metrics", "/healthz", "/readyz", "/.strangler"]),
        ('open = ["/admin", "/metrics/", "/healthz", "/readyz"]', ["/.strangler"]),
        (
            'open = ["/admin"]\nclosed = ["/static/admin/*"]',
            ["/static/admin", "/metrics", "/healthz", "/readyz", "/.strangler"],
        ),
        ('closed = ["/backoffice/*"]', [*CLOSED, "/backoffice"]),
    ],
)
def test_what_is_closed_stays_so_unless_opened(tmp_path: Path, gateway: str, closed: list[str]) -> None:
    project = load(tmp_path, gateway=gateway)

    assert list(project.gateway.closed) == closed
    assert project.gateway.max_body == MAX_BODY


def test_where_the_sides_of_a_move_ask_each_other_cannot_be_opened(tmp_path: Path) -> None:
    refused = refusal(tmp_path, gateway='open = ["/.strangler/*"]')

    assert refused.place == "strangler.toml: gateway.open[0]"
    assert "/.strangler" not in refused.remedy


@pytest.mark.parametrize(
    ("gateway", "hidden"),
    [
        ("", []),
        ('internal = ["/boxes/*", "/things"]', ["/boxes", "/things"]),
        ('internal = ["/boxes", "/things"]\nopen = ["/boxes"]', ["/things"]),
    ],
)
def test_an_internal_path_is_hidden_unless_it_is_open(tmp_path: Path, gateway: str, hidden: list[str]) -> None:
    project = load(tmp_path, gateway=gateway)

    assert list(project.gateway.hidden) == hidden
    assert list(project.gateway.closed) == list(CLOSED)


@pytest.mark.parametrize(("opened", "health"), [("", ["/healthz", "/readyz"]), ('open = ["/healthz"]', ["/readyz"])])
def test_the_gateway_answers_for_itself_where_health_is_not_open(
    tmp_path: Path, opened: str, health: list[str]
) -> None:
    assert list(load(tmp_path, gateway=opened).gateway.health) == health


def test_headers_have_the_names_that_browsers_know(tmp_path: Path) -> None:
    said = 'headers = { x-frame-options = "DENY", Referrer-Policy = "same-origin" }'

    assert load(tmp_path, gateway=said).gateway.headers == {"X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
    assert load(tmp_path).gateway.headers == {}


def test_a_route_that_needs_a_token_of_an_account_cannot_be_internal(tmp_path: Path) -> None:
    token = '[gateway.tokens.shop]\njwks = "/keys"'
    routes = '{ route = "* /things/{id}", auth = "required" }'

    assert refusal(tmp_path, routes=routes, gateway=f'internal = ["/things"]\n{token}').place == (
        "strangler.toml: capabilities.things.routes[0]"
    )
    load(tmp_path, routes=routes, gateway=f'internal = ["/things"]\nopen = ["/things"]\n{token}')


@pytest.mark.parametrize(
    "name",
    ["../../x", "..", ".", "a/b", "/etc/x", "A B", "", "A=B", "A-B", "1A", "A.pem", "A\\u0000", "\u00c4", "A" * 101],
)
def test_a_secret_that_can_name_no_variable_is_refused(tmp_path: Path, name: str) -> None:
    assert "variable" in refusal(tmp_path, secrets=f'"{name}" = "text"').message


@pytest.mark.parametrize("name", ["DATABASE_URL", "PATH", "PORT"])
def test_a_secret_does_not_replace_what_a_process_is_given(tmp_path: Path, name: str) -> None:
    assert "sets itself" in refusal(tmp_path, secrets=f'{name} = "text"').message


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [
        ("/a/*", "/a/b", True),
        ("/a/*", "/a", False),
        ("/a/{id}", "/a/b", True),
        ("/a/{id}", "/a/b/c", False),
        ("/a/{id}", "/a/*", False),
        ("/a/b", "/a/{id}", False),
        ("/a/{id}/c", "/a/{no}/c", True),
        ("/a/x{id}", "/a/xy", False),
    ],
)
def test_one_route_covers_another(one: str, other: str, holds: bool) -> None:
    assert covers(Route(frozenset(), one), Route(frozenset(), other)) is holds


TOKENS = 'tokens.shop = { jwks = "/keys", audiences = ["shop"] }'


def test_a_route_may_need_a_token(tmp_path: Path) -> None:
    project = load(
        tmp_path,
        gateway=f'{TOKENS}\nroutes = [{{ route = "GET /reports", auth = "required" }}]',
        routes='"GET /things", { route = "POST /things", auth = "required" }, { route = "* /a", auth = "none" }',
    )

    assert [route.auth for route in project.capabilities["things"].routes] == [False, True, False]
    assert [route.auth for route in project.gateway.routes] == [True]
    assert list(project.gateway.issuers) == [Issuer("shop", "/keys", ("shop",))]


def test_an_issuer_elsewhere_has_an_address(tmp_path: Path) -> None:
    written = 'jwks = "https://id.example:8443/keys", issuer = "https://id.example", jwks_age = "10m", ca = "/ca.pem"'

    [issuer] = load(tmp_path, gateway=f"tokens.id = {{ {written} }}").gateway.issuers

    assert issuer == Issuer("id", "https://id.example:8443/keys", (), "https://id.example", 600, "/ca.pem")
    assert not issuer.is_here


def test_a_token_that_nobody_issues_is_not_asked_for(tmp_path: Path) -> None:
    error = refusal(tmp_path, routes='{ route = "* /things", auth = "required" }')

    assert error.place == "strangler.toml: capabilities.things.routes[0]"
    assert "[gateway.tokens.NAME]" in error.remedy


@pytest.mark.parametrize(
    ("issuer", "key"),
    [
        ("{}", "jwks"),
        ('{ jwks = "" }', "jwks"),
        ('{ jwks = "keys" }', "jwks"),
        ('{ jwks = "ftp://host/keys" }', "jwks"),
        ('{ jwks = "https://user:word@host/keys" }', "jwks"),
        ('{ jwks = "https://host" }', "jwks"),
        ('{ jwks = "/keys", jwks_age = "never" }', "jwks_age"),
        ('{ jwks = "/keys", audiences = "shop" }', "audiences"),
        ('{ jwks = "/keys", audience = "shop" }', "audience"),
    ],
)
def test_an_issuer_that_cannot_be_asked_is_refused(tmp_path: Path, issuer: str, key: str) -> None:
    error = refusal(tmp_path, gateway=f"tokens.shop = {issuer}")

    assert error.place == f"strangler.toml: gateway.tokens.shop.{key}"


def test_a_route_asks_for_a_token_or_does_not(tmp_path: Path) -> None:
    error = refusal(tmp_path, gateway=TOKENS, routes='{ route = "* /things", auth = "require" }')

    assert error.remedy == "did you mean required?"


def test_limits_are_rates(tmp_path: Path) -> None:
    logins = 'limits.logins = { rate = "60/min", routes = ["POST /things", "* /things/{id}"] }'
    project = load(tmp_path, gateway=f'{TOKENS}\n{logins}\nlimits.all = {{ rate = "1000/h", per = "account" }}')

    routes = (Route(frozenset({"POST"}), "/things"), Route(frozenset(), "/things/{id}"))
    assert project.gateway.limits == (
        Limit("logins", 60, 60, CLIENT, routes),
        Limit("all", 1000, 3600, ACCOUNT, (EVERYTHING,)),
    )


@pytest.mark.parametrize(("held", "limits"), [("7/s", [Limit("all", 7, 1)]), (None, [])])
def test_a_rate_may_be_left_to_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str | None, limits: list[Limit]
) -> None:
    if held:
        monkeypatch.setenv("RATE", held)

    assert list(load(tmp_path, gateway='limits.all = { rate_env = "RATE" }').gateway.limits) == limits


def test_all_limits_may_be_counted_by_a_service_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = 'limits.all = { rate = "7/s" }\nlimits.few = { rate = "1/s" }'

    assert {each.service for each in load(tmp_path, gateway=limits).gateway.limits} == {""}
    written = load(tmp_path, gateway=f'limits_service = "http://limits:8081"\n{limits}')
    assert [each.service for each in written.gateway.limits] == ["http://limits:8081"] * 2

    left = f'limits_service_env = "LIMITS"\n{limits}'
    assert {each.service for each in load(tmp_path, gateway=left).gateway.limits} == {""}
    monkeypatch.setenv("LIMITS", "http://elsewhere:8081")
    assert {each.service for each in load(tmp_path, gateway=left).gateway.limits} == {"http://elsewhere:8081"}


@pytest.mark.parametrize("address", ["https://limits:8081", "limits:8081", "http://user:sesame@limits:8081"])
def test_a_service_for_limits_that_cannot_be_asked_is_refused(tmp_path: Path, address: str) -> None:
    error = refusal(tmp_path, gateway=f'limits_service = "{address}"')

    assert error.place == "strangler.toml: gateway.limits_service"
    assert "sesame" not in error.message


@pytest.mark.parametrize(
    ("limit", "key"),
    [
        ("{}", "rate"),
        ('{ rate = "" }', "rate"),
        ('{ rate = "60" }', "rate"),
        ('{ rate = "0/s" }', "rate"),
        ('{ rate = "6/week" }', "rate"),
        ('{ rate = "6/s", rate_env = "RATE" }', "rate_env"),
        ('{ rate = "6/s", per = "user" }', "per"),
        ('{ rate = "6/s", per = "account" }', "per"),
        ('{ rate = "6/s", routes = ["things"] }', "routes[0]"),
        ('{ rate = "6/s", burst = 7 }', "burst"),
    ],
)
def test_a_rate_that_limits_nothing_is_refused(tmp_path: Path, limit: str, key: str) -> None:
    error = refusal(tmp_path, gateway=f"limits.all = {limit}")

    assert error.place == f"strangler.toml: gateway.limits.all.{key}"


def test_a_rate_that_the_environment_has_wrong_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "often")

    assert "is not a rate" in refusal(tmp_path, gateway='limits.all = { rate_env = "RATE" }').message
