"""A project of two databases for benchmarks which need nothing else of it: no process of it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.servers import Place

FILE = """
[project]
name = "large"
ledger = "office"
monolith = "office"

[gateway]
address = "http://gateway"
admin = "http://gateway"

[broker]
url = "amqp://elsewhere"

[databases.office]
url = "{monolith}"

[databases.depot]
url = "{service}"

[processes.office]
address = "http://office"

[processes.depot]
address = "http://depot"

[capabilities.{name}]
tables = [{tables}]
process = "depot"
database = "depot"
routes = ["* /{name}"]
"""


def write_project(folder: Path, monolith: Place, service: Place, name: str, tables: Sequence[str]) -> None:
    """Writes the ``strangler.toml`` of one capability with these tables."""
    listed = ", ".join(f'"{table}"' for table in tables)
    content = FILE.format(monolith=monolith.url, service=service.url, name=name, tables=listed)
    (folder / "strangler.toml").write_text(content)
