"""A real Envoy sends a request to the side to which it belongs by the path as a process reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import spellings
from envoys import Side, free_port, running, says
from strangler.adapters import envoy
from strangler.domain.project import CLOSED, MONOLITH, SERVICE
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_SERVICE, CapabilityRoutes, RouteTable

pytest.importorskip("envoy")

PATHS = [
    "/things",
    "/things/{id}",
    "/things/{id}/parts",
    "/caf\u00e9",
    "/things/a;v=1",
    "/things/a/*",
    "/th*",
    "/a:b/{c}",
    "/shops/{shop}/orders/{order}/lines/{line}/notes/{note}/people/{who}/times/{when}",
    f"/things/{'a-long-name/' * 20}",
]
LONG_CLOSED = "/administration-of-all-that-there-is-to-administer"


@pytest.fixture(scope="module")
def sides() -> Iterator[dict[str, Side]]:
    found = {name: Side(name, says(name)) for name in ("monolith", "things")}
    for side in found.values():
        side.start()
    yield found
    for side in found.values():
        side.stop()


@pytest.fixture(scope="module")
def gateway(sides: dict[str, Side], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPConnection]:
    directory, port, admin_port = tmp_path_factory.mktemp("gateway"), free_port(), free_port()
    _write(directory, port, admin_port, sides)
    with running(directory, admin_port):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        yield connection
        connection.close()


def _write(directory: Path, port: int, admin_port: int, sides: dict[str, Side]) -> None:
    routes = [Route(frozenset(), path) for path in PATHS]
    clusters = {MONOLITH: "monolith", SERVICE: "things"}
    table = RouteTable(
        "v",
        [CapabilityRoutes("things", routes, clusters, *[ALL_TO_SERVICE] * 2)],
        default="monolith",
        closed=(*CLOSED, LONG_CLOSED),
    )
    envoy.write_bootstrap(directory, port=port, admin_port=admin_port, access_log=None)
    envoy.publish_clusters(directory, {name: side.address for name, side in sides.items()})
    envoy.publish(directory, table)


def _ask(gateway: HTTPConnection, path: str) -> tuple[int, str]:
    gateway.putrequest("GET", path)
    gateway.endheaders()
    answer = gateway.getresponse()
    return answer.status, answer.read().decode()


def test_a_request_matches_at_the_gateway_as_in_the_process(gateway: HTTPConnection, sides: dict[str, Side]) -> None:
    patterns = [re.compile(Route(frozenset(), path).pattern, re.DOTALL) for path in PATHS]
    led = {"monolith": 0, "things": 0}

    for path in spellings.written(500, 11):
        status, name = _ask(gateway, path)
        assert status == 200, path
        read = spellings.decoded(sides[name].requests[-1].path)
        belongs = any(pattern.fullmatch(read) for pattern in patterns)
        assert name == ("things" if belongs else "monolith"), (path, read)
        led[name] += 1

    assert min(led.values()) > 50


@pytest.mark.parametrize(
    "path", ["/things/%00", "/things/a#b", "/things/\xe9", "/things/\x0bb", "/things/\x7f", "*", "x"]
)
def test_what_is_no_path_is_refused(gateway: HTTPConnection, sides: dict[str, Side], path: str) -> None:
    before = [len(side.requests) for side in sides.values()]
    connection = HTTPConnection(gateway.host, gateway.port, timeout=60)
    connection.connect()
    connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"))

    assert connection.sock.recv(1000).startswith(b"HTTP/1.1 400")
    connection.close()
    assert [len(side.requests) for side in sides.values()] == before


def test_paths_of_any_length_are_led(gateway: HTTPConnection) -> None:
    longest = "/shops/1/orders/2/lines/3/notes/4/people/5/times/6"

    assert _ask(gateway, longest) == (200, "things")
    assert _ask(gateway, f"/things/{'a-long-name/' * 20}") == (200, "things")
    assert _ask(gateway, "/shops/1/orders/2/lines/3/notes/4/people/5") == (200, "monolith")
    assert _ask(gateway, LONG_CLOSED)[0] == 404
