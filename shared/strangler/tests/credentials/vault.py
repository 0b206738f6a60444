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
SECRET_KEY = "text"
TOKEN_KEY_FILE = "ed25519"

[databases.old]
url_env = "OLD_URL"

[databases.new_one]
embedded = true
url_env = "NEW_URL"

[databases.fixed]
url = "postgresql://fixed"

[processes.web]
address_env = "WEB_URL"

[broker]
url_env = "BROKER_URL"
"""
NAMES = {
    "application": {"SECRET_KEY", "TOKEN_KEY_FILE"},
    "database-old": {"username", "password", "url"},
    "database-new_one": {"username", "password", "url"},
    "broker": {"username", "password", "url", "rabbitmq.conf"},
}


def file(folder: Path) -> Path:
    path = folder / "strangler.toml"
    path.write_text(FILE)
    return path


def strangler(folder: Path, *words: str, umask: int = -1, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the tool on that project, with none of its addresses known."""
    command = [sys.executable, "-m", "strangler.cli.main", *words]
    own: Mapping[str, str] = {**os.environ, "STRANGLER_CONFIG": str(folder / "strangler.toml"), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=own, check=False, timeout=60, umask=umask)
