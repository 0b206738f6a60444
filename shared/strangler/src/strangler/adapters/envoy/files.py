"""The files Envoy watches; a new one appears under its name whole, by a rename."""

from __future__ import annotations

import json
import os
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
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f".{name}.{os.getpid()}"
    fresh.write_text(json.dumps(document, indent=1))
    fresh.replace(directory / name)
