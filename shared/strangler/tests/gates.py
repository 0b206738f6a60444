"""A real Envoy that asks for tokens and counts requests, and those who sign tokens."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running
from strangler.adapters import envoy
from strangler.domain.limit import Limit
from strangler.domain.project import MONOLITH, SERVICE, Issuer
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, CapabilityRoutes, RouteTable

pytest.importorskip("envoy")
ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")

JWKS = "/.well-known/jwks.json"
ROUTES = [
    Route(frozenset({"GET"}), "/things"),
    Route(frozenset({"POST"}), "/things", auth=True),
    Route(frozenset(), "/things/*", auth=True),
    Route(frozenset({"GET"}), JWKS),
]
ISSUERS = [Issuer("shop", JWKS, ("shop",))]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Signer:
    """A key of accounts, and the tokens that it signs."""

    kid: str
    key: Any = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    @property
    def public(self) -> dict[str, str]:
        x = b64(self.key.public_key().public_bytes_raw())
        return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x}

    def token(self, **claims: object) -> str:
        now = int(time.time())
        claims = {"sub": "7", "aud": "shop", "iat": now, "exp": now + 900, "use": "access", **claims}
        head = {"alg": "EdDSA", "kid": self.kid, "typ": "JWT"}
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(self.key.sign(signed.encode()))}"


@dataclass
class Gate:
    """A gateway before two sides, both of which publish ``keys``."""

    port: int
    admin: str
    directory: Path
    sides: Mapping[str, Side]
    keys: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0
    published: bool = True

    def reply(self, side: str, request: Request) -> tuple[int, dict[str, str], bytes]:
        if request.path == JWKS:
            self.asked += 1
            return (200, {}, json.dumps({"keys": self.keys}).encode()) if self.published else (503, {}, b"")
        return 200, {}, side.encode()

    def ask(self, method: str, path: str, token: str | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.port}{path}"
        return urllib3.request(method, url, headers=headers, retries=False)

    def lead(self, shares: Mapping[str, int]) -> None:
        """Leads all requests to the side that has them all."""
        version = f"v{time.monotonic_ns()}"
        things = CapabilityRoutes("things", ROUTES, {MONOLITH: "monolith", SERVICE: "things"}, shares, shares)
        envoy.publish(self.directory, RouteTable(version, [things], default="monolith"))
        eventually(lambda: envoy.live_version(self.admin) == version)


@contextmanager
def gate(
    directory: Path,
    issuers: Sequence[Issuer] = ISSUERS,
    *,
    signers: Sequence[Signer] = (),
    limits: Sequence[Limit] = (),
    hops: int = 0,
) -> Iterator[Gate]:
    port, admin_port = free_port(), free_port()
    sides = {MONOLITH: Side("monolith", lambda _: None), SERVICE: Side("things", lambda _: None)}
    made = Gate(port, f"http://127.0.0.1:{admin_port}", directory, sides, [signer.public for signer in signers])
    for name, side in sides.items():
        side.reply = lambda request, name=name: made.reply(name, request)
        side.start()
    envoy.write_bootstrap(
        directory,
        port=port,
        admin_port=admin_port,
        access_log=directory / "access.log",
        issuers=issuers,
        limits=limits,
        trusted_hops=hops,
    )
    envoy.publish_clusters(directory, {"monolith": sides[MONOLITH].address, "things": sides[SERVICE].address})
    envoy.publish(directory, RouteTable("none", [], default="monolith"))
    try:
        with running(directory, admin_port):
            made.lead(ALL_TO_MONOLITH)
            yield made
    finally:
        for side in sides.values():
            side.stop()
