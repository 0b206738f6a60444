"""Ed25519 keys: read from PEM files, named by their thumbprints, published as JSON Web Keys.

Note "read again": a process looks at its files once a second, and reads them when they have changed. So keys are
exchanged without a restart. If what it finds is no key, it goes on with the keys that it has, and says so.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured

from chassis.extras import missing
from chassis.process.logs import Complaint

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    raise missing("identity", error) from error

ALGORITHM = "EdDSA"

_PEM = re.compile(rb"-----BEGIN (PRIVATE|PUBLIC) KEY-----.+?-----END \1 KEY-----", re.DOTALL)


LOOK_SECONDS = 1.0

logger = logging.getLogger("chassis.identity.keys")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Private keys by key id; ``signer`` is the id of the one that signs, ``public`` are all halves that verify."""

    signer: str
    keys: Mapping[str, Ed25519PrivateKey]
    public: Mapping[str, Ed25519PublicKey]


def keyring(path: str, *, setting: str) -> KeyRing:
    """The keys of a PEM file: the first private key signs, all verify, public halves too. See the note "read again".

    Raises ImproperlyConfigured, naming ``setting``, where there was no key to begin with.
    """
    return _ring_of(path, setting).now()


def trusted(paths: tuple[str, ...], *, setting: str) -> Mapping[str, Ed25519PublicKey]:
    """Every key of the PEM files by its id; for a private key its public half. See the note "read again".

    Raises ImproperlyConfigured, naming ``setting``, where there was no key to begin with.
    """
    return _trusted_of(paths, setting).now()


class Files(Generic[T]):
    """What ``read`` makes of files, made again when they have changed."""

    def __init__(
        self, paths: tuple[str, ...], read: Callable[[], T], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths, self._read, self._clock = paths, read, clock
        self._lock = threading.Lock()
        self._looked, self._seen = clock(), self._look()
        self._value = read()
        self._complaint = Complaint(logger, "keys_unreadable")

    def now(self) -> T:
        """What it is at the moment, or was a second ago."""
        if self._clock() - self._looked >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._lock.release()
        return self._value

    def _renew(self) -> None:
        self._looked, seen = self._clock(), self._look()
        if seen == self._seen:
            return
        try:
            self._value = self._read()
        except ImproperlyConfigured as error:
            # It is looked at again until it can be read: somebody may be writing it.
            self._complaint.make(str(error))
            return
        self._seen = seen
        self._complaint.over()
        logger.info("keys_read", extra={"files": list(self._paths)})

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._paths]


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _ring_of(path: str, setting: str) -> Files[KeyRing]:
    return Files((path,), lambda: _read_ring(path, setting))


@functools.lru_cache(maxsize=8)
def _trusted_of(paths: tuple[str, ...], setting: str) -> Files[Mapping[str, Ed25519PublicKey]]:
    return Files(paths, lambda: _read_trusted(paths, setting))


def _read_ring(path: str, setting: str) -> KeyRing:
    found = list(_keys(path, setting))
    private = {thumbprint(key.public_key()): key for key in found if isinstance(key, Ed25519PrivateKey)}
    if not private:
        raise ImproperlyConfigured(f"{setting}: {_named(path)} holds no private key in PEM")
    public = {thumbprint(half): half for half in map(_public, found)}
    return KeyRing(signer=next(iter(private)), keys=private, public=public)


def _read_trusted(paths: tuple[str, ...], setting: str) -> Mapping[str, Ed25519PublicKey]:
    found = {}
    for path in paths:
        public = [_public(key) for key in _keys(path, setting)]
        if not public:
            raise ImproperlyConfigured(f"{setting}: {_named(path)} holds no key in PEM")
        found.update({thumbprint(key): key for key in public})
    return found


def _public(key: Ed25519PrivateKey | Ed25519PublicKey) -> Ed25519PublicKey:
    return key.public_key() if isinstance(key, Ed25519PrivateKey) else key


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
