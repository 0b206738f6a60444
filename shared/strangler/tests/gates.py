"""A real Envoy that asks for tokens and counts requests, and those who sign tokens."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
x509 = pytest.importorskip("cryptography.x509")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
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


def authority(path: Path) -> Path:
    """A file with a certificate for ``localhost`` that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())  # Envoy takes no certificate of the other kind
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, path.name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


@contextmanager
def speaking_tls(side: Side, certificate: Path) -> Iterator[Side]:
    """The side as a server of https."""
    side.start()
    assert side.server is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    side.server.socket = context.wrap_socket(side.server.socket, server_side=True, do_handshake_on_connect=False)
    try:
        yield side
    finally:
        side.stop()
