"""A project whose addresses come from the environment, and its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

FILE = """
[project]
name = "depot"
ledger = "old"
monolith = "web"

[secrets]
SECRET_KEY = "text-each"
SHARED = "text"
TOKEN_KEY_FILE = { kind = "ed25519", for = ["old"] }
SERVICE_KEY_FILE = "ed25519-each"

[databases.old]
url_env = "OLD_URL"

[databases.new_one]
embedded = true
url_env = "NEW_URL"

[databases.fixed]
url = "postgresql://fixed"

[processes.web]
address_env = "WEB_URL"

[processes.window]
http = true
directory = "."
command = ["serve"]
address_env = "WINDOW_URL"

[capabilities.shelf]
tables = ["shelf"]
process = "web"
database = "new_one"
routes = ["GET /shelves"]

[broker]
url_env = "BROKER_URL"
"""
ACCESS = {"username", "password", "url"}
KEYS = {"SECRET_KEY", "SERVICE_KEY_FILE", "SERVICE_KEY_FILE.pub"}
NAMES = {
    "application": {"SHARED", "TOKEN_KEY_FILE"},
    "database-old": ACCESS,
    "app-old": ACCESS,
    "mover-old": ACCESS,
    "agent-old": ACCESS,
    "service-old": KEYS,
    "database-new_one": ACCESS,
    "app-new_one": ACCESS,
    "mover-new_one": ACCESS,
    "service-new_one": KEYS,
    "service-window": {"SECRET_KEY"},
    "broker": {*ACCESS, "rabbitmq.conf", "definitions.json"},
    "broker-old": {*ACCESS, "definitions.json"},
    "broker-new_one": {*ACCESS, "definitions.json"},
}


def file(folder: Path) -> Path:
    path = folder / "strangler.toml"
    path.write_text(FILE)
    return path


def strangler(folder: Path, *words: str, umask: int = -1, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the tool on that project, without any of its addresses."""
    command = [sys.executable, "-m", "strangler.cli.main", *words]
    own: Mapping[str, str] = {**os.environ, "STRANGLER_CONFIG": str(folder / "strangler.toml"), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=own, check=False, timeout=60, umask=umask)
