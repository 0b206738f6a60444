"""The files that Envoy watches; a rename puts each new file in place as a whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

CLUSTERS_FILE = "cds.json"
ROUTES_FILE = "rds.json"

type_url = "type.googleapis.com/{}".format


def watched(directory: Path, name: str) -> dict[str, object]:
    """An xDS source that reads the file again whenever something is renamed in its folder."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(directory / name),
            "watched_directory": {"path": str(directory)},
        },
    }


def replace(directory: Path, name: str, document: Mapping[str, object]) -> None:
    """Replaces a file that others may be writing at the same time, and that Envoy may read as another user."""
    if not directory.exists():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
    descriptor, fresh = tempfile.mkstemp(dir=directory, prefix=f".{name}.")
    with os.fdopen(descriptor, "w") as stream:
        json.dump(document, stream, indent=1)
        os.fchmod(stream.fileno(), 0o644)
    Path(fresh).replace(directory / name)
