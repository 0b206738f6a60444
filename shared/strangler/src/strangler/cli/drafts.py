"""Writes a file that a command has drafted."""

from __future__ import annotations

import os
from pathlib import Path

from strangler.domain.errors import ConfigurationError


def write_whole(path: Path, text: str, *, force: bool, folders: bool = False) -> None:
    """Writes the file whole or not at all. Without ``force`` no file may be there; ``folders``: its folders are made.

    Raises:
        ConfigurationError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        if force:
            fresh.replace(path)
        else:
            os.link(fresh, path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror}", place=str(path), remedy="run it where you may write",
            id="file-unreadable",
        ) from error  # fmt: skip
    finally:
        fresh.unlink(missing_ok=True)
