"""Tokens at a real Envoy: which requests need one, which ones are good, and whence the keys come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from envoys import Side, eventually
from gates import ISSUERS, JWKS, Gate, Signer, authority, b64, gate, speaking_tls
from strangler.domain.project import MONOLITH, SERVICE, Issuer
from strangler.domain.routing import ALL_TO_SERVICE


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("one")


@pytest.fixture(scope="module")
def gateway(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gate(tmp_path_factory.mktemp("gateway"), signers=[signer]) as made:
        eventually(lambda: made.ask("POST", "/things", signer.token()).status == 200)
        yield made


def detail(answer: urllib3.BaseHTTPResponse) -> str:
    found: str = answer.json()["detail"]
    return found


def test_a_request_without_a_token_passes_where_none_is_needed(gateway: Gate) -> None:
    assert gateway.ask("GET", "/things").data == b"monolith"


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER", "bEaReR", "BeareR"])
def test_a_good_token_passes_and_reaches_the_process(gateway: Gate, signer: Signer, word: str) -> None:
    token = signer.token()

    assert gateway.ask("POST", "/things", Authorization=f"{word} {token}").status == 200
    assert gateway.sides[MONOLITH].requests[-1].headers["authorization"] == f"{word} {token}"


def test_clocks_may_differ_by_seconds(gateway: Gate, signer: Signer) -> None:
    assert gateway.ask("POST", "/things", signer.token(exp=int(time.time()) - 1)).status == 200


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1}, "Token has expired."),
        ({"nbf": 1 << 40}, "Token is invalid."),
        ({"aud": "another"}, "Token is invalid."),
        ({"aud": None}, "Token is invalid."),
    ],
)
def test_a_token_that_is_not_for_here_and_now_reaches_no_process(
    gateway: Gate, signer: Signer, claims: dict[str, object], said: str
) -> None:
    _refused(gateway, signer.token(**claims), said)


@pytest.mark.parametrize("kid", ["one", "two"])
def test_a_token_that_somebody_else_has_signed_reaches_no_process(gateway: Gate, kid: str) -> None:
    _refused(
        gateway,
        Signer(kid).token(),
        "Token is invalid." if kid == "one" else "Token is signed with an unknown key.",
    )


@pytest.mark.parametrize("token", ["abc", "a.b.c", "..", "e30.e30.", "x" * 8000])
def test_nonsense_reaches_no_process(gateway: Gate, token: str) -> None:
    _refused(gateway, token, "Token is invalid.")


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_a_token_may_not_choose_how_it_is_verified(gateway: Gate, signer: Signer, alg: str) -> None:
    _, claims, signature = signer.token().split(".")
    head = b64(json.dumps({"alg": alg, "kid": "one"}).encode())

    _refused(gateway, f"{head}.{claims}.{signature}")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/things/1", {}),
        ("/things/1", {"Authorization": "Basic YTpi"}),
        ("/things%2F1", {}),
        ("/things/1", {"Connection": "Upgrade", "Upgrade": "websocket"}),
        ("/things/1", {"x-strangler-to": SERVICE}),
        ("/things/1?access_token=abc", {}),
    ],
)
def test_nobody_comes_in_without_a_token(gateway: Gate, path: str, headers: dict[str, str]) -> None:
    _refused(gateway, None, "Authentication credentials were not provided.", path=path, **headers)


def _refused(gateway: Gate, token: str | None, said: str = "", *, path: str = "/things/1", **headers: str) -> None:
    before = [len(side.requests) for side in gateway.sides.values()]

    answer = gateway.ask("GET", path, token, **headers)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="api"'
    assert not said or detail(answer) == said
    assert [len(side.requests) for side in gateway.sides.values()] == before


def test_after_a_move_and_in_a_bounce_the_token_is_still_asked_for(tmp_path: Path, signer: Signer) -> None:
    with gate(tmp_path, signers=[signer]) as gateway:
        eventually(lambda: gateway.ask("POST", "/things", signer.token()).status == 200)
        gateway.sides[MONOLITH].reply = lambda request: (
            307,
            {"location": f"http://127.0.0.1:{gateway.port}{request.path}", "x-strangler-to": SERVICE},
            b"",
        )
        assert gateway.ask("POST", "/things", signer.token()).data == b"service"

        gateway.lead(ALL_TO_SERVICE)

        assert gateway.ask("POST", "/things", signer.token()).data == b"service"
        assert gateway.ask("POST", "/things").status == 401


def test_a_key_is_exchanged_and_nobody_is_logged_out(tmp_path: Path, signer: Signer) -> None:
    young = Signer("young")
    with gate(tmp_path, [Issuer("shop", JWKS, ("shop",), jwks_age=1)], signers=[signer]) as gateway:
        eventually(lambda: gateway.ask("POST", "/things", signer.token()).status == 200)

        gateway.keys.append(young.public)
        eventually(lambda: gateway.ask("POST", "/things", young.token()).status == 200)

        assert gateway.ask("POST", "/things", signer.token()).status == 200


def test_keys_that_were_had_are_kept_while_nobody_answers(tmp_path: Path, signer: Signer) -> None:
    with gate(tmp_path, [Issuer("shop", JWKS, ("shop",), jwks_age=6)], signers=[signer]) as gateway:
        # One second before and after each other, by Envoy itself: a request asks once at most.
        eventually(lambda: gateway.asked > 3)
        gateway.published, age = False, time.monotonic()

        eventually(lambda: time.monotonic() - age > 8)

        assert gateway.ask("POST", "/things", signer.token()).status == 200


def test_before_any_key_was_had_nobody_is_told_that_the_token_is_bad(tmp_path: Path, signer: Signer) -> None:
    with gate(tmp_path, signers=[signer]) as gateway:
        gateway.published = False

        answer = gateway.ask("POST", "/things", signer.token())
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert gateway.sides[MONOLITH].requests[-1].path == JWKS

        gateway.published = True
        eventually(lambda: gateway.ask("POST", "/things", signer.token()).status == 200)


def test_of_several_issuers_any_will_do(tmp_path: Path, signer: Signer) -> None:
    partner, stranger = Signer("partner"), Signer("one")
    keys = Side("keys", lambda _: (200, {}, json.dumps({"keys": [partner.public]}).encode()))
    keys.start()
    issuers = [*ISSUERS, Issuer("partner", f"{keys.address}/keys", ("partners",), "https://partner.example")]
    named = {"iss": "https://partner.example", "aud": "partners"}
    try:
        with gate(tmp_path, issuers, signers=[signer]) as gateway:
            eventually(lambda: gateway.ask("POST", "/things", signer.token()).status == 200)
            eventually(lambda: gateway.ask("POST", "/things", partner.token(**named)).status == 200)

            for bad in (partner.token(), partner.token(**{**named, "iss": "x"}), stranger.token(), None):
                assert gateway.ask("POST", "/things", bad).status == 401, bad
    finally:
        keys.stop()


@pytest.mark.parametrize("trusted", [True, False])
def test_an_issuer_elsewhere_is_believed_if_its_certificate_is(tmp_path: Path, signer: Signer, trusted: bool) -> None:
    ours, another = authority(tmp_path / "ours"), authority(tmp_path / "another")
    keys = Side("keys", lambda _: (200, {}, json.dumps({"keys": [signer.public]}).encode()))
    with speaking_tls(keys, ours):
        url = f"https://localhost:{keys.port}/keys"
        issuer = Issuer("elsewhere", url, ("shop",), ca=str(ours if trusted else another))
        with gate(tmp_path / "gateway", [issuer]) as gateway:
            log = tmp_path / "gateway" / "envoy.log"
            eventually(lambda: bool(keys.requests) or "failed" in log.read_text())

            assert gateway.ask("POST", "/things", signer.token()).status == (200 if trusted else 503)
    assert bool(keys.requests) == trusted
