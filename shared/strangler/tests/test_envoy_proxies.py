"""Who the client is, and how the request came: with a real Envoy, and the test's headers in place of proxies before it.

A proxy that ends TLS appends the address of its client to X-Forwarded-For, and replaces X-Forwarded-Proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running, says
from projects import project
from strangler.adapters import envoy
from strangler.domain.project import MONOLITH, SERVICE, Process
from strangler.domain.project import Gateway as Configured
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, CapabilityRoutes, RouteTable
from strangler.stack import gateway as stack

pytest.importorskip("envoy")

TABLE = RouteTable(
    "first",
    [
        CapabilityRoutes(
            "things",
            [Route(frozenset({"GET", "POST"}), "/things")],
            {MONOLITH: "monolith", SERVICE: "things"},
            *[ALL_TO_MONOLITH] * 2,
        )
    ],
    default="monolith",
)
ANNA, BERT, PROXY = "203.0.113.7", "2001:db8::7", "198.51.100.1"
OWN = "127.0.0.1"


@dataclass
class Gateway:
    port: int
    directory: Path
    monolith: Side
    service: Side

    def request(self, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        """Sends a request under the name that the world knows."""
        named = {"host": "depot.example", **{name.replace("_", "-"): value for name, value in headers.items()}}
        url = f"http://{OWN}:{self.port}/things"
        return urllib3.request(method, url, headers=named, retries=False, redirect=False)

    def arrived(self, **headers: str) -> dict[str, str]:
        """The headers with which a GET with these headers reaches a process."""
        assert self.request(**headers).status == 200
        return self.monolith.requests[-1].headers

    def client(self, forwarded_for: str) -> str:
        """The address that a process takes for the client's."""
        return self.arrived(x_forwarded_for=forwarded_for)["x-forwarded-for"]


@contextmanager
def gateway_behind(proxies: int, directory: Path) -> Iterator[Gateway]:
    monolith, service = Side("monolith", says("monolith")), Side("things", says("service"))
    monolith.start()
    service.start()
    gateway, admin_port = Gateway(free_port(), directory, monolith, service), free_port()
    envoy.write_bootstrap(
        directory,
        port=gateway.port,
        admin_port=admin_port,
        access_log=directory / "access.log",
        trusted_hops=proxies,
    )
    envoy.publish_clusters(directory, {"monolith": monolith.address, "things": service.address})
    envoy.publish(directory, TABLE)
    try:
        with running(directory, admin_port):
            yield gateway
    finally:
        monolith.stop()
        service.stop()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_behind(0, tmp_path_factory.mktemp("alone")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def behind_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_behind(1, tmp_path_factory.mktemp("behind-one")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def behind_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_behind(2, tmp_path_factory.mktemp("behind-two")) as gateway:
        yield gateway


def bounce(request: Request) -> tuple[int, dict[str, str], bytes]:
    """Bounces like the fence."""
    address = f"{request.headers['x-forwarded-proto']}://{request.headers['host']}{request.path}"
    return 307, {"location": address, "x-strangler-to": SERVICE}, b""


@contextmanager
def fenced(gateway: Gateway, reply: Callable[[Request], tuple[int, dict[str, str], bytes]] = bounce) -> Iterator[None]:
    gateway.service.requests.clear()
    gateway.monolith.reply = reply
    try:
        yield
    finally:
        gateway.monolith.reply = says("monolith")


@pytest.mark.parametrize("made_up", [ANNA, f"{ANNA}, {BERT}", "", "no address", OWN])
def test_without_proxies_nobody_says_who_he_is(alone: Gateway, made_up: str) -> None:
    assert alone.client(made_up) == OWN


def test_without_proxies_nobody_says_how_he_came(alone: Gateway) -> None:
    arrived = alone.arrived(x_forwarded_proto="https", x_forwarded_host="evil.example", x_forwarded_port="443")

    assert arrived["x-forwarded-proto"] == "http"
    assert arrived["host"] == "depot.example"
    assert not {"x-forwarded-host", "x-forwarded-port"} & set(arrived)


@pytest.mark.parametrize("proxies", ["alone", "behind_one", "behind_two"])
def test_the_header_in_which_envoy_says_it_is_not_the_client_s(proxies: str, request: pytest.FixtureRequest) -> None:
    gateway: Gateway = request.getfixturevalue(proxies)

    arrived = gateway.arrived(x_envoy_external_address=ANNA)

    assert (arrived["x-envoy-external-address"], arrived["x-forwarded-for"]) == (OWN, OWN)


@pytest.mark.parametrize("proxies", ["alone", "behind_one"])
@pytest.mark.parametrize("name", ["x_envoy_attempt_count", "x_strangler_forwarded", "x_strangler_to"])
def test_what_is_said_between_gateway_and_processes_nobody_else_says(
    name: str, proxies: str, request: pytest.FixtureRequest
) -> None:
    gateway: Gateway = request.getfixturevalue(proxies)

    assert name.replace("_", "-") not in gateway.arrived(**{name: "1"})


@pytest.mark.parametrize("proxies", ["alone", "behind_one"])
def test_a_name_with_an_underscore_which_servers_take_for_another_one_does_not_pass(
    proxies: str, request: pytest.FixtureRequest
) -> None:
    gateway: Gateway = request.getfixturevalue(proxies)
    url = f"http://{OWN}:{gateway.port}/things"

    urllib3.request("GET", url, headers={"X_Forwarded_For": ANNA, "SCRIPT_NAME": "/x"}, retries=False)

    assert not {"x_forwarded_for", "script_name"} & set(gateway.monolith.requests[-1].headers)


@pytest.mark.parametrize("address", [ANNA, BERT, "10.0.0.7", "192.168.0.7"])
def test_clients_behind_a_proxy_are_told_apart(behind_one: Gateway, address: str) -> None:
    assert behind_one.client(address) == address


@pytest.mark.parametrize("made_up", [BERT, f"{BERT}, {OWN}", "no address", "'\"", ","])
def test_what_a_client_makes_up_gains_nothing_through_a_proxy(behind_one: Gateway, made_up: str) -> None:
    assert behind_one.client(f"{made_up}, {ANNA}") == ANNA


def test_two_lines_are_one_list(behind_one: Gateway) -> None:
    headers = urllib3.HTTPHeaderDict()
    headers.add("x-forwarded-for", BERT)
    headers.add("x-forwarded-for", ANNA)

    urllib3.request("GET", f"http://{OWN}:{behind_one.port}/things", headers=headers, retries=False)

    assert behind_one.monolith.requests[-1].headers["x-forwarded-for"] == ANNA


def test_a_proxy_says_how_the_client_came(behind_one: Gateway) -> None:
    said = {"x_forwarded_proto": "https", "x_forwarded_host": "depot.example", "x_forwarded_port": "443"}

    arrived = behind_one.arrived(x_forwarded_for=ANNA, **said)

    assert {name: arrived[name.replace("_", "-")] for name in said} == said
    assert behind_one.arrived(x_forwarded_for=ANNA, x_forwarded_proto="http")["x-forwarded-proto"] == "http"


def test_who_comes_past_the_proxy_is_who_he_is(behind_one: Gateway) -> None:
    """A process that sends a request to another one through the gateway."""
    arrived = behind_one.arrived()

    assert (arrived["x-forwarded-for"], arrived["x-forwarded-proto"]) == (OWN, "http")


@pytest.mark.parametrize("unreadable", [f"{ANNA}:4711", f"[{BERT}]", "unknown"])
def test_where_a_proxy_appends_no_plain_address_it_is_the_client(behind_one: Gateway, unreadable: str) -> None:
    assert behind_one.client(unreadable) == OWN


def test_of_two_proxies_the_first_says_who_the_client_is(behind_two: Gateway) -> None:
    assert behind_two.client(f"{ANNA}, {PROXY}") == ANNA
    assert behind_two.client(f"{BERT}, {ANNA}, {PROXY}") == ANNA


def test_fewer_proxies_than_said_say_nothing(behind_two: Gateway) -> None:
    assert behind_two.client(ANNA) == OWN


def test_a_post_that_came_by_https_is_bounced(behind_one: Gateway) -> None:
    with fenced(behind_one):
        answer = behind_one.request("POST", x_forwarded_for=f"{BERT}, {ANNA}", x_forwarded_proto="https")

    assert (answer.status, answer.data) == (200, b"service")
    [arrived] = behind_one.service.requests
    assert (arrived.headers["x-forwarded-for"], arrived.headers["x-forwarded-proto"]) == (ANNA, "https")
    assert arrived.headers["host"] == "depot.example"


def test_a_post_whose_address_begins_with_another_scheme_is_bounced(behind_one: Gateway) -> None:
    def by_http(request: Request) -> tuple[int, dict[str, str], bytes]:
        return 307, {"location": "http://depot.example/things", "x-strangler-to": SERVICE}, b""

    with fenced(behind_one, by_http):
        answer = behind_one.request("POST", x_forwarded_for=ANNA, x_forwarded_proto="https")

    assert (answer.status, answer.data) == (200, b"service")
    assert behind_one.service.requests[0].headers["x-forwarded-proto"] == "https"


def test_without_proxies_a_made_up_scheme_changes_nothing_in_a_bounce(alone: Gateway) -> None:
    with fenced(alone):
        answer = alone.request("POST", x_forwarded_for=ANNA, x_forwarded_proto="https")

    assert (answer.status, answer.data) == (200, b"service")
    arrived = alone.service.requests[0].headers
    assert (arrived["x-forwarded-for"], arrived["x-forwarded-proto"]) == (OWN, "http")


def test_an_application_s_own_redirect_to_https_reaches_the_client(behind_one: Gateway) -> None:
    with fenced(behind_one, lambda _: (307, {"location": "https://depot.example/things"}, b"")):
        answer = behind_one.request("POST", x_forwarded_for=ANNA, x_forwarded_proto="http")

    assert (answer.status, answer.headers["location"]) == (307, "https://depot.example/things")


def test_the_access_log_has_no_address_of_a_client_in_either_half_of_a_bounce(behind_one: Gateway) -> None:
    with fenced(behind_one):
        behind_one.request("POST", x_forwarded_for=ANNA, x_forwarded_proto="https", x_request_id="logged")

    def lines() -> list[str]:
        text = (behind_one.directory / "access.log").read_text()
        return [line for line in text.splitlines() if '"logged"' in line]

    eventually(lambda: len(lines()) == 2)
    assert not [line for line in lines() if ANNA in line or OWN in line]


def test_the_gateway_of_a_local_stack_believes_as_many_as_the_file_says(tmp_path: Path) -> None:
    office = Process("office", address="http://office")
    made = project(tmp_path, processes={"office": office}, gateway=Configured(trusted_hops=2))

    stack.Gateway(made, 1, 2).configure({"office": "http://office"})

    assert '"xff_num_trusted_hops": 2' in (tmp_path / "gateway" / envoy.BOOTSTRAP_FILE).read_text()
