"""Keys are exchanged while everything runs: two sides that sign, a real Envoy and a service that verify. Nobody is
logged out, and the old key opens nothing in the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import jwt
import pytest
from chassis.identity import keys
from conftest import pem
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from library.gateway import Gateway
from library.programs import WEB, Running, free_port
from library.waiting import until
from strangler.domain.project import CLOSED, Issuer
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, CapabilityRoutes, RouteTable

pytest.importorskip("envoy")

JWKS = "/.well-known/jwks.json"
ACCOUNTS = [Route(frozenset({"GET"}), JWKS), Route(frozenset({"GET"}), "/sign")]
ENTER = [Route(frozenset({"GET"}), "/enter", auth=True)]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def kid(key: Ed25519PrivateKey) -> str:
    return keys.thumbprint(key.public_key())


def table(number: int, *, owner: str) -> RouteTable:
    """The accounts are at ``owner``; the service that verifies is nobody's move."""
    shares = ALL_TO_SERVICE if owner == "service" else ALL_TO_MONOLITH
    sides = {"monolith": "monolith", "service": "accounts"}
    return RouteTable(
        f"table-{number}",
        [
            CapabilityRoutes("accounts", ACCOUNTS, sides, shares, shares),
            CapabilityRoutes("books", ENTER, {"monolith": "books", "service": "books"}, *[ALL_TO_MONOLITH] * 2),
        ],
        default="monolith",
        closed=CLOSED,
    )


@dataclass
class Shop:
    gateway: Gateway
    sides: dict[str, Running]
    files: dict[str, Path]
    used: int = 0
    refused: list[str] = field(default_factory=list)

    def put(self, name: str, *parts: bytes) -> None:
        """A key file's new content, put into its place by a rename."""
        new = self.files[name].with_suffix(".new")
        new.write_bytes(b"".join(parts))
        new.rename(self.files[name])

    def sign(self, side: str = "") -> str:
        """A token, by the gateway or by one side."""
        url = self.gateway.url if not side else f"http://127.0.0.1:{self.sides[side].port}"
        return str(httpx.get(f"{url}/sign").raise_for_status().json()["access"])

    def publishes(self, side: str) -> set[str]:
        found = httpx.get(f"http://127.0.0.1:{self.sides[side].port}{JWKS}").json()["keys"]
        return {str(key["kid"]) for key in found}

    def enter(self, token: str, *, by: str = "") -> int:
        """What a token opens through the gateway, or at one process past it."""
        url = self.gateway.url if not by else f"http://127.0.0.1:{self.sides[by].port}"
        return httpx.get(f"{url}/enter", headers={"authorization": f"Bearer {token}"}).status_code

    def use(self, stop: threading.Event) -> None:
        """A customer who logs in again and again, and is never asked why."""
        held: list[str] = []
        while not stop.is_set():
            held.append(self.sign())
            for token in {held[0], held[-1]}:
                if (status := self.enter(token)) != 200:
                    self.refused.append(f"{status} {jwt.get_unverified_header(token)['kid']}")
                self.used += 1


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    old = Ed25519PrivateKey.generate()
    files = {side: tmp_path / f"{side}.pem" for side in ("monolith", "accounts")}
    for path in files.values():
        path.write_bytes(pem(old))
    port = free_port()
    with ExitStack() as stack:
        sides = {}
        for name in ("monolith", "accounts", "books"):
            environment = {
                "DJANGO_SETTINGS_MODULE": "guarded",
                "TOKEN_KEY_FILE": str(files.get(name, "")),
                "JWKS_URL": "" if name in files else f"http://127.0.0.1:{port}{JWKS}",
            }
            sides[name] = stack.enter_context(Running(WEB, tmp_path / f"{name}.log", **environment))
        for each in sides.values():
            each.get("/healthz")
        gateway = Gateway(
            tmp_path / "gateway",
            table=table(0, owner="monolith"),
            port=port,
            issuers=[Issuer("library", JWKS, ("library",), jwks_age=1)],
            **{name: f"http://127.0.0.1:{each.port}" for name, each in sides.items()},
        )
        with gateway:
            made = Shop(gateway, sides, files)
            until(lambda: made.enter(made.sign()) == 200)
            yield made


def test_keys_are_exchanged_while_tokens_are_used_and_the_accounts_move(shop: Shop) -> None:
    old = serialization.load_pem_private_key(shop.files["monolith"].read_bytes(), None)
    assert isinstance(old, Ed25519PrivateKey)
    young = Ed25519PrivateKey.generate()
    both = {kid(old), kid(young)}
    held = shop.sign()
    stop = threading.Event()
    customers = [threading.Thread(target=shop.use, args=(stop,)) for _ in range(2)]
    for each in customers:
        each.start()
    try:
        # 1. The new key is published by both sides, and signs nothing. A public half is enough for that.
        shop.put("monolith", pem(old), public(young))
        shop.put("accounts", pem(old), pem(young))
        until(lambda: shop.publishes("monolith") == shop.publishes("accounts") == both)
        assert jwt.get_unverified_header(shop.sign())["kid"] == kid(old)
        proof = jwt.encode(jwt.decode(held, options={"verify_signature": False}), young, "EdDSA", {"kid": kid(young)})
        until(lambda: shop.enter(proof) == shop.enter(proof, by="books") == 200)

        # 2. It signs, first on one side; the accounts move meanwhile.
        shop.put("accounts", pem(young), public(old))
        until(lambda: jwt.get_unverified_header(shop.sign("accounts"))["kid"] == kid(young))
        shop.gateway.publish(table(1, owner="service"))
        until(lambda: jwt.get_unverified_header(shop.sign())["kid"] == kid(young))
        shop.put("monolith", pem(young), public(old))
        until(lambda: jwt.get_unverified_header(shop.sign("monolith"))["kid"] == kid(young))
        fresh = shop.sign()
        for by in ("", "books", "monolith", "accounts"):
            assert [shop.enter(token, by=by) for token in (held, fresh)] == [200, 200], by or "gateway"
        done = shop.used
        until(lambda: shop.used > done + 4)
    finally:
        stop.set()
        for each in customers:
            each.join(60)
    assert shop.refused == [], f"of {shop.used}"

    # 3. The old key is retired: nobody takes it any more, and nobody was started anew.
    for side in ("monolith", "accounts"):
        shop.put(side, pem(young))
    for by in ("", "books", "monolith", "accounts"):
        until(lambda by=by: shop.enter(held, by=by) == 401)
        assert shop.enter(fresh, by=by) == 200, by or "gateway"


def test_keys_of_services_are_exchanged_in_the_same_way(tmp_path: Path) -> None:
    old, young, accounts = (Ed25519PrivateKey.generate() for _ in range(3))
    own, known, signing = tmp_path / "own.pem", tmp_path / "lending.pub", tmp_path / "accounts.pem"
    own.write_bytes(pem(old))
    known.write_bytes(public(old))
    signing.write_bytes(pem(accounts))
    settings = {"DJANGO_SETTINGS_MODULE": "guarded", "TOKEN_KEY_FILE": str(signing)}
    with (
        Running(WEB, tmp_path / "caller.log", SERVICE_KEY_FILE=str(own), **settings) as caller,
        Running(WEB, tmp_path / "called.log", SERVICE_KEY_FILES=str(known), **settings) as called,
    ):
        for each in (caller, called):
            each.get("/healthz")

        def token() -> str:
            return str(caller.get("/sign").json()["service"])

        def serve(token: str) -> int:
            url = f"http://127.0.0.1:{called.port}/serve"
            return httpx.get(url, headers={"authorization": f"Bearer {token}"}).status_code

        held = token()
        assert serve(held) == 200

        known.write_bytes(public(old) + public(young))
        probe = jwt.encode(jwt.decode(held, options={"verify_signature": False}), young, "EdDSA", {"kid": kid(young)})
        until(lambda: serve(probe) == 200)
        own.write_bytes(pem(young))
        until(lambda: jwt.get_unverified_header(token())["kid"] == kid(young))
        assert [serve(held), serve(token())] == [200, 200]

        known.write_bytes(public(young))
        until(lambda: serve(held) == 401)
        assert serve(token()) == 200
