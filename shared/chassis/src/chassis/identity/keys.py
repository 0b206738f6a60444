"""Ed25519 keys: read from PEM files, named by their thumbprints, published as JSON Web Keys."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chassis.extras import missing

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    raise missing("identity", error) from error

ALGORITHM = "EdDSA"

_PEM = re.compile(rb"-----BEGIN (PRIVATE|PUBLIC) KEY-----.+?-----END \1 KEY-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Private keys by key id; ``signer`` is the id of the one that signs."""

    signer: str
    keys: Mapping[str, Ed25519PrivateKey]

    @property
    def public(self) -> dict[str, Ed25519PublicKey]:
        """The halves that verify."""
        return {kid: key.public_key() for kid, key in self.keys.items()}


@functools.lru_cache(maxsize=8)
def keyring(path: str, *, setting: str) -> KeyRing:
    """The private keys of a PEM file, read once; the first one signs.

    Raises ImproperlyConfigured, naming ``setting``.
    """
    found = [key for key in _keys(path, setting) if isinstance(key, Ed25519PrivateKey)]
    if not found:
        raise ImproperlyConfigured(f"{setting}: {_named(path)} holds no private key in PEM")
    keys = {thumbprint(key.public_key()): key for key in found}
    return KeyRing(signer=next(iter(keys)), keys=keys)


@functools.lru_cache(maxsize=8)
def trusted(paths: tuple[str, ...], *, setting: str) -> Mapping[str, Ed25519PublicKey]:
    """Every key of the PEM files by its id, read once; for a private key its public half.

    Raises ImproperlyConfigured, naming ``setting``.
    """
    found = {}
    for path in paths:
        public = [key.public_key() if isinstance(key, Ed25519PrivateKey) else key for key in _keys(path, setting)]
        if not public:
            raise ImproperlyConfigured(f"{setting}: {_named(path)} holds no key in PEM")
        found.update({thumbprint(key): key for key in public})
    return found


def web_key(key: Ed25519PublicKey) -> dict[str, str]:
    """The members of a JSON Web Key that make the key (RFC 8037)."""
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64(key.public_bytes_raw())}


def from_web_key(member: Mapping[str, Any]) -> Ed25519PublicKey | None:
    """The key; None where its kind or its use is not ours. Raises ValueError when malformed."""
    kind = (member.get("kty"), member.get("crv"), member.get("use", "sig"), member.get("alg", ALGORITHM))
    if kind != ("OKP", "Ed25519", "sig", ALGORITHM):
        return None
    text = str(member.get("x", ""))
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def thumbprint(key: Ed25519PublicKey) -> str:
    """RFC 7638: the same id wherever it is computed, so nothing has to be named in a configuration."""
    canonical = json.dumps(web_key(key), sort_keys=True, separators=(",", ":"))
    return _base64(hashlib.sha256(canonical.encode()).digest())


def _keys(path: str, setting: str) -> Iterator[Ed25519PrivateKey | Ed25519PublicKey]:
    try:
        blocks = list(_PEM.finditer(Path(path).read_bytes()))
    except OSError as error:
        raise ImproperlyConfigured(f"{setting}: {_named(path)} cannot be read: {error.strerror}") from None
    for block in blocks:
        try:
            key = _load(block.group(0), private=block.group(1) == b"PRIVATE")
        except (ValueError, UnsupportedAlgorithm):
            raise ImproperlyConfigured(f"{setting}: {_named(path)} holds a key that cannot be read") from None
        if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
            raise ImproperlyConfigured(f"{setting}: {_named(path)} holds a key that is not Ed25519")
        yield key


def _named(path: str) -> str:
    """The file's name, unless somebody has given the key itself in its place."""
    return "what is given, which is no name of a file," if "\n" in path or "-----" in path else path


def _load(pem: bytes, *, private: bool) -> object:
    return serialization.load_pem_private_key(pem, None) if private else serialization.load_pem_public_key(pem)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
