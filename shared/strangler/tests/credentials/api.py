"""A server that behaves like a cluster's API of Secrets, behind TLS with an authority of its own."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SECRETS = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/secrets(?:/(?P<name>[^/]+))?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
TOKEN = "the-account's-token"


class Api:
    """The state of the API, and how it answers; ``verbs`` are those that the account's Role allows."""

    def __init__(self, folder: Path) -> None:
        self.namespaces: dict[str, dict[str, dict[str, Any]]] = {"depot": {}}
        self.verbs = {"get", "create"}
        self.answers_first: list[int] = []
        self.requests: list[str] = []
        self.account = folder / "account"
        self.port = 0

    @property
    def secrets(self) -> dict[str, dict[str, Any]]:
        return self.namespaces["depot"]

    def environment(self) -> dict[str, str]:
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Checks in the API's order: who asks, whether that account may, and only then whether the object is there."""
        self.requests.append(f"{method} {path}")
        if self.answers_first:
            return _status(self.answers_first.pop(0), "try again")
        match = SECRETS.fullmatch(path)
        if token != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized")
        if match is None:
            return _status(404, "the server could not find the requested resource")
        namespace, name = match["namespace"], match["name"]
        verb = {"GET": "get", "POST": "create"}.get(method, method.lower())
        if verb not in self.verbs:
            return _status(403, f'secrets is forbidden: User "depot" cannot {verb} resource "secrets"')
        held = self.namespaces.get(namespace)
        if method == "GET":
            found = (held or {}).get(name)
            return (200, found) if found else _status(404, f'secrets "{name}" not found')
        if held is None:
            return _status(404, f'namespaces "{namespace}" not found')
        return self._create(held, json.loads(body))

    @staticmethod
    def _create(held: dict[str, dict[str, Any]], document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = document["metadata"]["name"]
        if (document["apiVersion"], document["kind"]) != ("v1", "Secret") or not NAME.fullmatch(name):
            return _status(422, "Secret is invalid")
        if name in held:
            return _status(409, f'secrets "{name}" already exists')
        held[name] = document
        return 201, document


def _status(code: int, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


@contextmanager
def serving(folder: Path) -> Iterator[Api]:
    """The API, and the folder of an account that may use it."""
    api = Api(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, document = api.answer(self.command, self.path, self.headers.get("authorization", ""), body)
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    authority, certificate = certificates(folder)
    api.account.mkdir()
    for name, value in {"token": TOKEN, "namespace": "depot", "ca.crt": authority.read_text()}.items():
        (api.account / name).write_text(value)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificates(folder: Path) -> tuple[Path, Path]:
    """A fresh authority, and the key and certificate that it has given to 127.0.0.1.

    Like EKS's authority, it says of itself only that it is an authority.
    """
    folder.mkdir(exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    ca = (
        _certificate(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = _certificate(name, ca_name, key).add_extension(address, critical=False).sign(ca_key, hashes.SHA256())
    (folder / "ca.crt").write_bytes(ca.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    return folder / "ca.crt", folder / "server.pem"


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
