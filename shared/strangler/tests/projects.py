"""Projects as `strangler.toml` would make them, for tests that need no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strangler.domain.project import Project


def project(folder: Path, **said: Any) -> Project:
    """A project without anything in it, whose state folder is ``folder``, but for what is ``said``."""
    nothing: dict[str, Any] = {"databases": {}, "processes": {}, "capabilities": {}, "stays": ()}
    named = {"name": "yard", "ledger": "yard", "monolith": "office"}
    return Project(**{"path": folder / "strangler.toml", "state": folder, **named, **nothing, **said})
