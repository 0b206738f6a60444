"""Secrets of the local stack: made once, kept in files of mode 600 in the state folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from strangler.adapters.secrets import fresh
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
        write_private(path, fresh.text())
    return path.read_text()


def _signing_key(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pem"
    if not path.exists():
        write_private(path, fresh.signing_key())
    return path
