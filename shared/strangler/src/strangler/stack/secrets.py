"""Secrets of the local stack: made once, kept in files of mode 600 in the state folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from strangler.adapters.secrets import fresh
from strangler.domain.credentials import EACH
from strangler.domain.handing import holds
from strangler.domain.project import Project
from strangler.stack.state import write_private


def environment(kinds: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Environment variables for secrets that processes share: the variable has a text itself, and for an Ed25519 key
    the path of its PEM file."""
    return {
        name: text(folder, name) if kind == "text" else str(_signing_key(folder, name))
        for name, kind in kinds.items()
        if kind not in EACH
    }


def environment_of(project: Project, database: str, folder: Path) -> dict[str, str]:
    """The same for the processes of one database: the shared secrets that they get, their own, and the public halves of
    all keys.

    The public halves are a list with commas, under the variable's name with an S after it.
    """
    found = environment(
        {name: kind for name, kind in project.secrets.items() if holds(project, name, database)}, folder
    )
    for name in (name for name, kind in project.secrets.items() if kind == "text-each"):
        found[name] = text(folder, f"{name}.{database}")
    for name in (name for name, kind in project.secrets.items() if kind == "ed25519-each"):
        found[name] = str(_signing_key(folder, f"{name}.{database}"))
        found[f"{name}S"] = ",".join(str(_public_key(folder, f"{name}.{other}")) for other in project.databases)
    return found


def environment_of_front(project: Project, process: str, folder: Path) -> dict[str, str]:
    """The same for a web process without a database: the secrets that all share, and texts of its own."""
    shared = {name: kind for name, kind in project.secrets.items() if name not in project.holders}
    own = [name for name, kind in project.secrets.items() if kind == "text-each"]
    return {**environment(shared, folder), **{name: text(folder, f"{name}.{process}") for name in own}}


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


def _public_key(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pub"
    if not path.exists():
        write_private(path, fresh.public_key(_signing_key(folder, name).read_text()))
    return path
