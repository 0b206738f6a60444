"""Fresh secrets."""

from __future__ import annotations

from secrets import token_urlsafe

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)


def make(kind: str) -> str:
    """A random text, or the PEM of an Ed25519 key."""
    return text() if kind == "text" else signing_key()


def text() -> str:
    """A random text of letters, digits, ``-`` and ``_``: it needs no quotes anywhere, not even in a URL."""
    return token_urlsafe(40)


def signing_key() -> str:
    """A private Ed25519 key, as PEM."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def public_key(pem: str) -> str:
    """The public half of a private key, as PEM."""
    key = load_pem_private_key(pem.encode(), None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
