"""Secrets of the local stack: made once, kept in files of mode 600 in the state folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from strangler.adapters.stack.state import write_private


def environment(kinds: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Environment variables for the secrets that ``strangler.toml`` asks for: a text is given as such,
    an Ed25519 key as the path of its PEM file."""
    return {
        name: text(folder, name) if kind == "text" else str(_signing_key(folder, name)) for name, kind in kinds.items()
    }


def text(folder: Path, name: str) -> str:
    path = folder / name
    if not path.exists():
        write_private(path, token_urlsafe(40))
    return path.read_text()


def _signing_key(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pem"
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, pem.decode())
    return path
