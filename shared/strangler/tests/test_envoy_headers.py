"""Headers of answers: what protects browsers, and what tells of servers, with a real Envoy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest
from envoys import Side, free_port, running, says
from projects import project
from strangler.adapters import envoy
from strangler.domain.project import Capability
from strangler.domain.project import Gateway as Configured
from strangler.domain.route import Route
from strangler.domain.routing import untouched

pytest.importorskip("envoy")

HSTS = "Strict-Transport-Security"
SIDE = "x-strangler-side"
ASKED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Content-Security-Policy": "img-src 'self' https://a/100%25; report-uri /%REQ(x)%",
    HSTS: "max-age=31536000; includeSubDomains",
}
PLAIN = {name: value for name, value in ASKED.items() if name != HSTS}
OWN = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


@dataclass
class Gateway:
    port: int
    internal: int
    monolith: Side

    def ask(self, path: str, *headers: str, port: int = 0) -> HTTPResponse:
        with socket.create_connection(("127.0.0.1", port or self.port), 60) as client:
            client.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode())
            answer = HTTPResponse(client)
            answer.begin()
            answer.read()
            return answer

    def found(self, path: str, *headers: str, port: int = 0) -> dict[str, list[str]]:
        """Each of the headers in question with all of its values."""
        answer = self.ask(path, *headers, port=port)
        return {name: answer.headers.get_all(name) for name in (*ASKED, "Server") if name in answer.headers}


def start(directory: Path, said: Configured, **more: object) -> Iterator[Gateway]:
    monolith = Side("monolith", says("monolith"))
    monolith.start()
    gateway, admin_port = Gateway(free_port(), free_port(), monolith), free_port()
    made = project(directory, gateway=said, **more)
    envoy.write_bootstrap(
        directory,
        port=gateway.port,
        internal=("127.0.0.1", gateway.internal),
        admin_port=admin_port,
        access_log=None,
        **envoy.as_said(made),
    )
    envoy.publish_clusters(directory, {"office": monolith.address, "things": monolith.address}, "office")
    envoy.publish(directory, untouched(made))
    try:
        with running(directory, admin_port):
            yield gateway
    finally:
        monolith.stop()


@pytest.fixture(scope="module")
def protecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    yield from start(tmp_path_factory.mktemp("protecting"), Configured(trusted_hops=1, headers=ASKED))


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    yield from start(tmp_path_factory.mktemp("silent"), Configured())


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    shelf = Capability("shelf", ["shelf"], [Route(frozenset({"GET"}), "/shelves")], "things", "new")
    yield from start(tmp_path_factory.mktemp("telling"), Configured(tell_sides=True), capabilities={"shelf": shelf})


@pytest.fixture(autouse=True)
def _plain(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in {"protecting", "silent", "telling"} & set(request.fixturenames):
        request.getfixturevalue(name).monolith.reply = says("monolith")


def one_each(headers: dict[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in headers.items()}


def test_an_answer_gets_what_the_project_has_asked_for_letter_by_letter(protecting: Gateway) -> None:
    assert protecting.found("/things") == one_each(PLAIN)


def test_what_the_application_says_stays_and_is_there_once(protecting: Gateway) -> None:
    own = {"x-frame-options": "DENY", "content-security-policy": "default-src *", "x-content-type-options": "none"}
    protecting.monolith.reply = lambda request: (200, own, b"")

    assert {name.lower(): value for name, value in protecting.found("/things").items()} == one_each(own)


def test_an_error_of_the_application_gets_it_too(protecting: Gateway) -> None:
    protecting.monolith.reply = lambda request: (500, {}, b"")

    assert protecting.found("/things") == one_each(PLAIN)


def test_only_who_came_by_https_is_told_to_come_so_again(protecting: Gateway) -> None:
    client = "X-Forwarded-For: 203.0.113.7"

    assert protecting.found("/things", client, "X-Forwarded-Proto: https").get(HSTS) == [ASKED[HSTS]]
    assert HSTS not in protecting.found("/things", client, "X-Forwarded-Proto: http")
    assert HSTS not in protecting.found("/things")


def test_a_client_who_only_says_https_is_not_believed(tmp_path: Path) -> None:
    for gateway in start(tmp_path, Configured(headers=ASKED)):
        assert HSTS not in gateway.found("/things", "X-Forwarded-Proto: https")


@pytest.mark.parametrize("path", ["/admin/", "/healthz", "/metrics"])
def test_the_gateway_s_own_answers_are_nothing_to_show(silent: Gateway, path: str) -> None:
    assert silent.found(path) == one_each(OWN)


def test_so_are_those_to_what_cannot_be_read(silent: Gateway) -> None:
    assert silent.ask("x").status == 400
    assert silent.found("x") == one_each(OWN)


def test_where_nobody_has_asked_an_application_s_answer_is_as_it_was(silent: Gateway) -> None:
    assert silent.found("/things") == {}


@pytest.mark.parametrize("name", ["protecting", "silent"])
def test_no_server_tells_of_itself(name: str, request: pytest.FixtureRequest) -> None:
    gateway: Gateway = request.getfixturevalue(name)
    gateway.monolith.reply = lambda asked: (200, {"server": "gunicorn", "x-envoy-anything": "1"}, b"")

    for path, port in (("/things", 0), ("/admin/", 0), ("x", 0), ("/things", gateway.internal)):
        headers = gateway.ask(path, port=port).headers
        assert not [each for each in headers if each.lower() == "server" or each.lower().startswith("x-envoy-")], path


def test_processes_are_told_nothing_that_is_for_browsers(protecting: Gateway) -> None:
    assert protecting.found("/things", port=protecting.internal) == {}


def test_no_client_is_told_which_side_has_answered_unless_the_project_asks_for_it(silent: Gateway) -> None:
    assert SIDE not in silent.ask("/things").headers


def test_a_client_may_be_told_which_side_has_answered_whatever_the_application_says(telling: Gateway) -> None:
    telling.monolith.reply = lambda request: (200, {SIDE: "things/service"}, b"")

    assert telling.ask("/things").headers.get_all(SIDE) == ["/monolith"], "no capability claims this path"
    assert telling.ask("/shelves").headers.get_all(SIDE) == ["shelf/monolith"]
