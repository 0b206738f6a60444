"""Types what the page says of numbers that differ (docs: numbers-differ)."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from tests.benchmarks.servers import tool
from tests.stack import ROOT

PAGE = ROOT / "docs/how-to/when-something-is-wrong.md"


def type_page(folder: Path, monolith: str, service: str) -> None:
    """Gives the service's content types the monolith's numbers, by the page's own commands.

    Raises:
        CalledProcessError: one of them has failed.
    """
    section = PAGE.read_text().partition("### numbers-differ\n")[2].partition("\n### ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    (console,) = (text for kind, text in blocks if kind == "console")
    (script,) = (text for kind, text in blocks if kind == "sql")
    (folder / "renumber.sql").write_text(script)
    names = {"MONOLITH": monolith, "SERVICE": service, "PATH": f"{tool('psql').parent}:{os.environ['PATH']}"}
    for line in console.splitlines():
        words = [re.sub(r"\$(\w+)", lambda match: names[match[1]], word) for word in shlex.split(line)[1:]]
        subprocess.run(words, cwd=folder, env={**os.environ, **names}, check=True, capture_output=True, text=True)
