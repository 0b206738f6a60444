"""A real Envoy with two listeners: strangers come in at one, the project's own processes at the other."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running, says
from strangler.adapters import envoy
from strangler.adapters.envoy import bootstrap
from strangler.domain.limit import Limit
from strangler.domain.project import CLOSED, MONOLITH, SERVICE, Issuer
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, CapabilityRoutes, RouteTable

pytest.importorskip("envoy")

INTERNAL, KEYS = "/internal", "/internal/keys"
ROUTES = [
    Route(frozenset({"GET", "POST"}), "/things"),
    Route(frozenset({"GET", "POST"}), "/internal/things/{id}"),
    Route(frozenset({"GET"}), "/signed", auth=True),
]
# As a process behind the gateway, in one way or another, takes them for the same.
SPELLINGS = [
    "/internal/things/7",
    "/internal/things/7?a=b",
    "//internal/things/7",
    "/internal//things/7",
    "/%69nternal/things/7",
    "/%49NTERNAL/things/7",
    "/INTERNAL/things/7",
    "/Internal/Things/7",
    "/internal%2Fthings%2F7",
    "/internal%2fthings/7",
    "/%2Finternal/things/7",
    "/./internal/things/7",
    "/x/../internal/things/7",
    "/x/%2e%2e/internal/things/7",
    "/%2e/internal/things/7",
    "/internal;v=1/things/7",
    "/internal/./things/7",
    "/internal/x/../things/7",
    "\\internal\\things\\7",
    "/%5Cinternal/things/7",
    "/internal",
    "/internal/",
    "/internal%00/things/7",
    "/internal?x",
]


@dataclass
class Gateway:
    port: int
    internal: int
    admin: str
    directory: Path
    monolith: Side
    service: Side

    def raw(self, target: str, *headers: str, port: int = 0, method: str = "GET") -> tuple[int, bytes]:
        """The answer to exactly this request line, from outside unless a ``port`` is given."""
        with socket.create_connection(("127.0.0.1", port or self.port), 60) as client:
            client.sendall("\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", *headers, "", ""]).encode())
            answer = HTTPResponse(client, method=method)
            answer.begin()
            return answer.status, answer.read()

    def ask(self, path: str, *, port: int = 0, **rest: object) -> urllib3.BaseHTTPResponse:
        url = f"http://127.0.0.1:{port or self.port}{path}"
        method = str(rest.pop("method", "GET"))
        return urllib3.request(method, url, retries=False, redirect=False, **rest)  # type: ignore[arg-type]

    def publish(self, version: str, to: dict[str, int], *, hidden: bool = True) -> None:
        things = CapabilityRoutes("things", ROUTES, {MONOLITH: "monolith", SERVICE: "things"}, to, to)
        hides = (INTERNAL,) if hidden else ()
        envoy.publish(self.directory, RouteTable(version, [things], "monolith", closed=CLOSED, internal=hides))

    def follow(self, version: str, to: dict[str, int], *, hidden: bool = True) -> None:
        self.publish(version, to, hidden=hidden)
        eventually(lambda: envoy.live_version(self.admin) == version)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    monolith, service = Side("monolith", says("monolith")), Side("things", says("service"))
    monolith.start()
    service.start()
    gateway = Gateway(free_port(), free_port(), "", directory, monolith, service)
    admin_port = free_port()
    gateway.admin = f"http://127.0.0.1:{admin_port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "CONNECTIONS", 20)
        envoy.write_bootstrap(
            directory,
            port=gateway.port,
            internal=("127.0.0.1", gateway.internal),
            admin_port=admin_port,
            access_log=directory / "access.log",
            trusted_hops=1,
            issuers=[Issuer("shop", KEYS)],
            limits=[Limit("things", 2, 3600, "client", (Route(frozenset(), "/counted"),))],
        )
    envoy.publish_clusters(directory, {"monolith": monolith.address, "things": service.address})
    gateway.publish("first", dict(ALL_TO_MONOLITH))
    try:
        with running(directory, admin_port):
            yield gateway
    finally:
        monolith.stop()
        service.stop()


@pytest.fixture
def gateway(stage: Gateway) -> Gateway:
    stage.follow("monolith", dict(ALL_TO_MONOLITH))
    for side, name in ((stage.monolith, "monolith"), (stage.service, "service")):
        side.reply = says(name)
        side.requests.clear()
    return stage


def arrived(side: Side) -> list[Request]:
    """The requests that have arrived, but for the gateway's own questions."""
    return [request for request in list(side.requests) if request.path != KEYS]


def asked(side: Side) -> list[str]:
    return [request.path for request in arrived(side)]


def bounce(request: Request) -> tuple[int, dict[str, str], bytes]:
    if request.path == KEYS:
        return 404, {}, b""
    address = f"{request.headers['x-forwarded-proto']}://{request.headers['host']}{request.path}"
    return 307, {"location": address, "x-strangler-to": SERVICE, "x-strangler-capability": "things"}, b""


# -------------------------------------------------------------------------------------------------- what is shut, where


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_of_an_internal_path_comes_in_from_outside(gateway: Gateway, path: str) -> None:
    status, _ = gateway.raw(path)

    assert status in {400, 404}
    assert asked(gateway.monolith) == []


@pytest.mark.parametrize(
    "target", ["http://a/internal/things/7", "http://b:81//internal/things/7", "HTTP://a/internal"]
)
def test_a_whole_address_leads_no_further_from_outside(gateway: Gateway, target: str) -> None:
    assert gateway.raw(target)[0] in {400, 404}
    assert asked(gateway.monolith) == []


@pytest.mark.parametrize(
    "header",
    ["X-Strangler-Internal: 1", "x_strangler_internal: 1", "X-Strangler-To: service", "X-Strangler-Capability: things"],
)
def test_no_header_of_a_client_opens_an_internal_path(gateway: Gateway, header: str) -> None:
    both = (header, "X-Strangler-Internal: 1")

    assert [gateway.raw("/internal/things/7", *each)[0] for each in ((header,), both)] == [404, 404]
    assert asked(gateway.monolith) + asked(gateway.service) == []


def test_a_404_of_an_internal_path_is_that_of_any_path_that_is_not_there(gateway: Gateway) -> None:
    answer = gateway.ask("/internal/things/7")

    assert (answer.status, answer.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("path", ["/internally", "/internal-affairs", "/things?next=/internal/things/7", "/a/internal"])
def test_a_path_that_only_looks_like_one_is_open(gateway: Gateway, path: str) -> None:
    assert gateway.raw(path)[0] == 200


def test_an_internal_path_is_answered_at_the_internal_listener(gateway: Gateway) -> None:
    answer = gateway.ask("/internal/things/7?a=b", port=gateway.internal)

    assert (answer.status, answer.data) == (200, b"monolith")
    assert asked(gateway.monolith) == ["/internal/things/7?a=b"]


# At each path of the chassis below it the two sides of a move ask each other, and never by the gateway.
PEERS = [
    *(
        path.replace("internal", ".strangler").replace("things/7", "deletions")
        for path in SPELLINGS
        if "internal" in path
    ),
    "/%2Estrangler/deletions",
    "/%2e%73trangler/deletions",
    "/.STRANGLER/deletions",
    "/.Strangler/Deletions",
    "/.%53TRANGLER%2Fdeletions",
    "/..//.strangler/deletions",
    "/.strangler/anything-else",
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", PEERS)
def test_what_the_sides_of_a_move_ask_each_other_is_asked_at_neither_listener(
    gateway: Gateway, path: str, method: str
) -> None:
    statuses = {gateway.raw(path, port=port, method=method)[0] for port in (gateway.port, gateway.internal)}

    assert statuses <= {400, 404}
    assert asked(gateway.monolith) + asked(gateway.service) == []


@pytest.mark.parametrize("path", ["/.well-known/x", "/strangler/deletions", "/.stranglers", "/x/.strangler/deletions"])
def test_a_path_that_only_resembles_it_is_open(gateway: Gateway, path: str) -> None:
    assert gateway.raw(path)[0] == 200


@pytest.mark.parametrize("path", ["/static/admin/css/base.css", "//static//Admin/js/core.js", "/static%2Fadmin/"])
def test_the_files_of_a_closed_admin_are_closed_with_it(gateway: Gateway, path: str) -> None:
    """They say which version of Django it is."""
    assert gateway.raw(path)[0] == 404
    assert gateway.raw("/static/shop.css")[0] == 200
    assert asked(gateway.monolith) == ["/static/shop.css"]


@pytest.mark.parametrize("path", ["/admin/", "/metrics", "/healthz", "/readyz", "//Admin", "/%6Detrics"])
def test_what_is_closed_is_closed_at_the_internal_listener_too(gateway: Gateway, path: str) -> None:
    assert gateway.raw(path, port=gateway.internal)[0] == 404
    assert asked(gateway.monolith) == []


def test_an_internal_path_that_is_open_is_answered_at_both(gateway: Gateway) -> None:
    gateway.follow("open", dict(ALL_TO_MONOLITH), hidden=False)

    answers = [gateway.ask("/internal/things/7", port=port).data for port in (gateway.port, gateway.internal)]
    assert answers == [b"monolith", b"monolith"]


# ------------------------------------------------------------------------------------------------------- moves, bounces


def test_a_move_turns_both_listeners_at_once(gateway: Gateway) -> None:
    """Whoever was sent to the new owner by one of them is never sent to the old one by the other afterwards."""
    before = owners(gateway)
    gateway.follow("moved", dict(ALL_TO_SERVICE))
    after = owners(gateway)

    assert before == [b"monolith"] * 4
    assert after == [b"service"] * 4


def owners(gateway: Gateway) -> list[bytes]:
    """Who answers, as soon as the gateway says that it follows a version; asked at the internal one first."""
    return [
        gateway.ask(path, port=port).data
        for port, path in (
            (gateway.internal, "/internal/things/7"),
            (gateway.internal, "/things"),
            (gateway.port, "/things"),
            (gateway.internal, "/internal/things/8"),
        )
    ]


def test_renamed_files_go_live_at_the_internal_listener_without_a_failed_request(gateway: Gateway) -> None:
    failed: list[int] = []
    over = threading.Event()

    def ask() -> None:
        pool = urllib3.PoolManager(retries=False)
        while not over.is_set():
            answer = pool.request("POST", f"http://127.0.0.1:{gateway.internal}/internal/things/7", body=b"{}")
            if answer.status != 200:
                failed.append(answer.status)

    client = threading.Thread(target=ask)
    client.start()
    for number in range(6):
        to, side = (ALL_TO_MONOLITH, gateway.monolith) if number % 2 else (ALL_TO_SERVICE, gateway.service)
        side.requests.clear()
        gateway.follow(f"flip-{number}", dict(to))
        eventually(lambda side=side: len(asked(side)) > 0)
    over.set()
    client.join()

    assert failed == []


def test_a_bounce_of_a_call_reaches_the_new_owner_with_its_body(gateway: Gateway) -> None:
    gateway.monolith.reply = bounce
    before = envoy.bounces(gateway.admin)

    answer = gateway.ask("/internal/things/7", port=gateway.internal, method="POST", body=b"x" * 100_000)

    assert (answer.status, answer.data) == (200, b"service")
    [request] = arrived(gateway.service)
    assert (request.method, request.path, request.body) == ("POST", "/internal/things/7", b"x" * 100_000)
    assert envoy.bounces(gateway.admin) == before + 1


@pytest.mark.parametrize("path", ["/things", "/elsewhere"])
def test_a_bounce_does_not_lead_a_client_to_an_internal_path(gateway: Gateway, path: str) -> None:
    """A process that can be made to redirect is no way in."""
    gateway.monolith.reply = lambda request: (
        307,
        {"location": "http://a/internal/things/7", "x-strangler-to": SERVICE, "x-strangler-internal": "1"},
        b"",
    )

    answer = gateway.ask(path)

    assert answer.status in {307, 404}
    assert asked(gateway.service) == []


# ------------------------------------------------------------------------------------- what is asked of strangers alone


def test_a_process_needs_no_token_of_an_account(gateway: Gateway) -> None:
    assert gateway.ask("/signed").status in {401, 503}
    assert gateway.ask("/signed", port=gateway.internal).status == 200


def test_processes_are_not_counted(gateway: Gateway) -> None:
    outside = [gateway.ask("/counted").status for _ in range(3)]
    within = [gateway.ask("/counted", port=gateway.internal) for _ in range(6)]

    assert outside[-1] == 429
    assert [answer.status for answer in within] == [200] * 6
    assert "ratelimit-limit" not in within[0].headers


def test_clients_that_take_all_connections_leave_the_processes_theirs(gateway: Gateway) -> None:
    with ExitStack() as clients:
        for _ in range(60):
            clients.enter_context(socket.create_connection(("127.0.0.1", gateway.port), 60))

        assert [gateway.ask("/internal/things/7", port=gateway.internal).status for _ in range(20)] == [200] * 20


def test_nobody_says_for_whom_a_process_calls(gateway: Gateway) -> None:
    """Behind one proxy for clients; there is none before the internal listener."""
    said = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}

    gateway.ask("/things", headers=said)
    gateway.ask("/things", port=gateway.internal, headers=said)

    client, process = (request.headers for request in arrived(gateway.monolith))
    assert (client["x-forwarded-for"], client["x-forwarded-proto"]) == ("203.0.113.7", "https")
    assert (process["x-forwarded-for"], process["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert "x-forwarded-host" not in process


def test_keys_behind_an_internal_path_are_asked_for_within(gateway: Gateway) -> None:
    eventually(lambda: any(request.path == KEYS for request in gateway.monolith.requests))


# -------------------------------------------------------------------------------------------- how the gateway itself is


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthz?from=balancer"])
def test_a_balancer_is_told_how_the_gateway_is_and_no_process_is_asked(gateway: Gateway, path: str) -> None:
    status, body = gateway.raw(path)

    assert (status, json.loads(body)) == (200, {"detail": "The gateway answers."})
    assert asked(gateway.monolith) == []


@pytest.mark.parametrize("path", ["//healthz", "/healthz/", "/HEALTHZ", "/%68ealthz", "/readyz;x", "/x/../readyz/"])
def test_no_spelling_of_a_health_path_reaches_a_process(gateway: Gateway, path: str) -> None:
    assert gateway.raw(path)[0] in {200, 404}
    assert asked(gateway.monolith) == []


def test_a_gateway_that_sends_its_clients_away_says_so_to_balancers_and_goes_on(gateway: Gateway) -> None:
    assert urllib3.request("POST", f"{gateway.admin}/healthcheck/fail").status == 200
    try:
        status, body = gateway.raw("/healthz")
        assert (status, json.loads(body)) == (503, {"detail": "This gateway sends its clients to another one."})
        assert gateway.ask("/things").status == 200
    finally:
        urllib3.request("POST", f"{gateway.admin}/healthcheck/ok")
    assert gateway.raw("/healthz")[0] == 200
