"""Limits that two real Envoys count together, and what is left of them while nobody counts for both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from envoys import Request, free_port
from gates import Gate, Signer, gate
from rates import RateService
from strangler.adapters import envoy
from strangler.adapters.envoy import shared_limits
from strangler.domain.limit import ACCOUNT, Limit
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.route import Route

pytest.importorskip("envoy")

DAY = 24 * 3600
LOGINS = (Route(frozenset({"POST"}), "/logins"),)
LIMITS = [Limit("all", 4, DAY), Limit("logins", 2, DAY, routes=LOGINS), Limit("accounts", 3, DAY, ACCOUNT)]


@pytest.fixture(scope="module")
def service() -> Iterator[RateService]:
    made = RateService(envoy.service_configuration(LIMITS))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("one")


@pytest.fixture(scope="module")
def gates(service: RateService, signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gate]]:
    """They wait for the service for as long as a busy machine may take, and so count what it says."""
    with ExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared_limits, "TIMEOUT", "10s")
            folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
            made = [running.enter_context(gateway(service, folder, signer)) for folder in folders]
        yield made


def gateway(service: RateService, directory: Path, signer: Signer) -> AbstractContextManager[Gate]:
    shared = [replace(limit, service=service.address) for limit in LIMITS]
    return gate(directory, signers=[signer], limits=shared, hops=1)


def ask(gate: Gate, client: str, method: str = "GET", path: str = "/things", token: str | None = None) -> int:
    return gate.ask(method, path, token, **{"x-forwarded-for": client}).status


def test_two_gateways_let_through_as_much_as_one(gates: list[Gate]) -> None:
    one, two = gates

    assert [ask(each, "1.0.0.1") for each in (one, two, one, two)] == [200] * 4
    # Each of them has two left for itself.
    assert [ask(one, "1.0.0.1"), ask(two, "1.0.0.1")] == [429, 429]
    assert ask(one, "1.0.0.2") == 200


def test_routes_and_accounts_are_told_apart_as_in_one_gateway(gates: list[Gate], signer: Signer) -> None:
    one, two = gates

    assert [ask(each, "2.0.0.1", "POST", "/logins") for each in (one, two, one)] == [200, 200, 429]
    tokens = [signer.token(sub="8") for _ in range(4)]
    statuses = [
        ask(each, f"2.0.1.{number}", "POST", "/things", token)
        for number, (each, token) in enumerate(zip((one, two, one, two), tokens, strict=True))
    ]
    assert statuses == [200, 200, 200, 429]


def test_who_asked_too_often_gets_the_gateway_s_own_answer(gates: list[Gate]) -> None:
    one, two = gates
    for each in (one, two, one, two):
        ask(each, "3.0.0.1")

    refused = one.ask("GET", "/things", **{"x-forwarded-for": "3.0.0.1"})

    assert refused.status == 429
    assert refused.json() == {"detail": "This was asked too often; try again later."}
    assert int(refused.headers["Retry-After"]) > 0
    assert not [name for name in refused.headers if name.lower().startswith(("x-ratelimit", "x-envoy"))]


def test_a_bounce_is_counted_once(gates: list[Gate], service: RateService) -> None:
    one, _ = gates

    def bounce(request: Request) -> tuple[int, dict[str, str], bytes]:
        return 307, {"location": f"http://127.0.0.1:{one.port}{request.path}", "x-strangler-to": SERVICE}, b""

    before, one.sides[MONOLITH].reply = one.sides[MONOLITH].reply, bounce

    assert one.ask("GET", "/things", **{"x-forwarded-for": "4.0.0.1"}).data == b"service"
    # The gateway fetches its keys meanwhile, from an address of its own.
    asked = [each for each in service.asked if each[1][1] == "4.0.0.1/32"]
    assert asked == [(("limit", "all"), ("masked_remote_address", "4.0.0.1/32"))]
    one.sides[MONOLITH].reply = before


def test_a_service_that_does_not_answer_refuses_nobody_and_the_gateway_counts(signer: Signer, tmp_path: Path) -> None:
    service = RateService(envoy.service_configuration(LIMITS), silent=True)
    service.start()

    with gateway(service, tmp_path, signer) as alone:
        assert [ask(alone, "5.0.0.1") for _ in range(5)] == [200] * 4 + [429]
    service.stop()


def test_a_gateway_starts_and_counts_while_there_is_no_service(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with gate(tmp_path, limits=[Limit("all", 2, DAY, service=nowhere)]) as alone:
        assert [alone.ask("GET", "/things").status for _ in range(3)] == [200, 200, 429]


def test_the_service_is_told_whole_units() -> None:
    units = {
        seconds: envoy.service_configuration([Limit("all", 1, seconds)])["descriptors"][0]["descriptors"][0]
        for seconds in (1, 60, 3600, DAY)
    }

    assert [each["rate_limit"]["unit"] for each in units.values()] == ["second", "minute", "hour", "day"]
