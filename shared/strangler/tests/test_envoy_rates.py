"""Limits at a real Envoy: who may ask how often, and what those are told who asked too often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from envoys import Request, eventually
from gates import Gate, Signer, gate
from strangler.domain.limit import ACCOUNT, Limit
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_SERVICE

pytest.importorskip("envoy")

HOUR = 3600
LOGINS = (Route(frozenset({"POST"}), "/logins"), Route(frozenset({"POST"}), "/accounts/{id}"))
LIMITS = [Limit("logins", 2, HOUR, routes=LOGINS), Limit("all", 6, HOUR), Limit("accounts", 3, HOUR, ACCOUNT)]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("one")


@pytest.fixture(scope="module")
def gateway(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Behind one proxy, so that a request can come from any client."""
    with gate(tmp_path_factory.mktemp("gateway"), signers=[signer], limits=LIMITS, hops=1) as made:
        eventually(lambda: ask(made, "0.0.0.1", "POST", "/things", signer.token(sub="0")).status != 503)
        yield made


def ask(
    gateway: Gate, client: str, method: str = "GET", path: str = "/things", token: str | None = None
) -> urllib3.BaseHTTPResponse:
    return gateway.ask(method, path, token, **{"x-forwarded-for": client})


def test_each_client_may_ask_so_often(gateway: Gate) -> None:
    assert [ask(gateway, "1.0.0.1").status for _ in range(7)] == [200] * 6 + [429]
    assert ask(gateway, "1.0.0.2").status == 200


def test_routes_of_one_limit_count_together_and_other_requests_do_not(gateway: Gate) -> None:
    paths = ["/logins", "/accounts/7?a=b", "/l%6Fgins"]

    assert [ask(gateway, "2.0.0.1", "POST", path).status for path in paths] == [200, 200, 429]
    assert ask(gateway, "2.0.0.1", "GET", "/logins").status == 200
    assert ask(gateway, "2.0.0.1", "POST", "/logins/more").status == 200


def test_who_asks_too_often_is_told_when_to_come_again(gateway: Gate) -> None:
    first, _, third = (ask(gateway, "3.0.0.1", "POST", "/logins") for _ in range(3))

    told = [first.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining")]
    assert told == ["2", "1"]
    assert "retry-after" not in first.headers
    assert third.status == 429
    assert third.headers["Retry-After"] == third.headers["RateLimit-Reset"]
    assert 0 < int(third.headers["Retry-After"]) <= HOUR
    assert third.json() == {"detail": "This was asked too often; try again later."}
    assert not [name for name in third.headers if name.startswith("x-ratelimit")]


def test_a_network_of_version_6_is_one_client(gateway: Gate) -> None:
    statuses = [ask(gateway, f"2001:db8::{number}", "POST", "/logins").status for number in range(3)]

    assert statuses == [200, 200, 429]
    assert ask(gateway, "2001:db8:0:1::1", "POST", "/logins").status == 200


@pytest.mark.parametrize(
    ("hops", "appended"), [(0, []), (1, ["203.0.113.7"]), (2, ["203.0.113.7", "10.0.0.1"])], ids=["none", "one", "two"]
)
def test_addresses_that_a_client_makes_up_gain_no_request(tmp_path: Path, hops: int, appended: list[str]) -> None:
    """Whatever proxies append stands behind what the client has sent."""
    made_up = ["9.0.0.{}", "9.0.0.{}, 10.0.0.1", "x{}", "2001:db8:{}::1", ",,{}", "9.0.0.{}:80", '"{}'] * 2
    with gate(tmp_path, limits=[Limit("all", 4, HOUR)], hops=hops) as gateway:
        sent = [", ".join([each.format(number), *appended]) for number, each in enumerate(made_up)]

        assert [ask(gateway, address).status for address in sent] == [200] * 4 + [429] * 10


def test_clients_of_version_4_are_told_apart_however_a_proxy_writes_them(gateway: Gate) -> None:
    statuses = [ask(gateway, f"::ffff:7.0.0.{number}", "POST", "/logins").status for number in (1, 1, 1, 2)]

    assert statuses == [200, 200, 429, 200]


def test_an_account_may_ask_so_often_from_wherever_it_comes(gateway: Gate, signer: Signer) -> None:
    statuses = [ask(gateway, f"4.0.0.{n}", "POST", "/things", signer.token(sub="8")).status for n in range(4)]

    assert statuses == [200, 200, 200, 429]
    assert ask(gateway, "4.0.0.9", "POST", "/things", signer.token(sub="9")).status == 200


def test_a_token_that_is_no_good_costs_its_account_nothing(gateway: Gate, signer: Signer) -> None:
    forged = Signer("one").token(sub="10")

    assert {ask(gateway, "5.0.0.1", "POST", "/things", forged).status for _ in range(5)} == {401}
    assert ask(gateway, "5.0.0.2", "POST", "/things", signer.token(sub="10")).status == 200


def test_a_websocket_counts_as_well(gateway: Gate) -> None:
    def begin() -> int:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "x-forwarded-for": "6.0.0.1"}
        return gateway.ask("GET", "/elsewhere", **upgrade).status

    assert [begin() for _ in range(7)][-1] == 429


def test_a_request_that_is_bounced_counts_once(tmp_path: Path) -> None:
    with gate(tmp_path, limits=[Limit("all", 4, HOUR)]) as gateway:

        def bounce(request: Request) -> tuple[int, dict[str, str], bytes]:
            return 307, {"location": f"http://127.0.0.1:{gateway.port}{request.path}", "x-strangler-to": SERVICE}, b""

        gateway.sides[MONOLITH].reply = bounce
        assert {gateway.ask("GET", "/things").data for _ in range(4)} == {b"service"}
        assert gateway.ask("GET", "/things").status == 429


def test_a_move_changes_nothing_of_what_is_left(tmp_path: Path) -> None:
    with gate(tmp_path, limits=[Limit("all", 3, HOUR)]) as gateway:
        assert gateway.ask("GET", "/things").data == b"monolith"

        gateway.lead(ALL_TO_SERVICE)

        assert [gateway.ask("GET", "/things").status for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("limits", [[], [Limit("logins", 2, HOUR, routes=LOGINS)]])
def test_where_no_limit_counts_nobody_is_told_of_any(tmp_path: Path, limits: list[Limit]) -> None:
    with gate(tmp_path, limits=limits) as gateway:
        assert not [name for name in gateway.ask("GET", "/things").headers if "ratelimit" in name.lower()]
