"""What benchmarks have measured, kept with the machine and the commit, and the page which is made from it.

python -m tests.benchmarks.records [--check]      writes the page anew, or says whether it is current
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.table import COLUMNS, Figure, rows

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "docs/reference/figures.json"
PAGE = DATA.with_suffix(".md")
INTRODUCTION = """\
# Figures

<!-- Written by tests/benchmarks/records.py from figures.json. -->

What the benchmarks have measured. Two machines differ by a factor of two, so read the ratios: a peer, or a floor that
nothing can be below, was measured beside ours in the same run on the same machine. `python -m tests.benchmarks` prints
this table for your machine; [CONTRIBUTING](../../CONTRIBUTING.md) says what it needs.
"""


@dataclass(frozen=True)
class Record:
    """What one benchmark has measured. ``measured_at`` is a day in UTC, ``commit`` that of the checkout, ``load`` the
    mean number of processes that wanted a processor in the fifteen minutes before the end."""

    measured_at: str
    commit: str
    machine: str
    load: float
    figures: Sequence[Figure]


def record(figures: Sequence[Figure]) -> Record:
    """Figures of now and here."""
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return Record(datetime.now(UTC).date().isoformat(), commit, machine, round(os.getloadavg()[2], 1), figures)


def write(path: Path, records: Mapping[str, Record]) -> None:
    """Writes them as JSON, by the benchmark's name."""
    found = {
        name: {**vars(each), "figures": [figure.to_json() for figure in each.figures]} for name, each in records.items()
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_from(path: Path) -> dict[str, Record]:
    """What `write` has written there; nothing where there is no such file."""
    found = json.loads(path.read_text()) if path.exists() else {}
    return {
        name: Record(**{**each, "figures": [Figure.from_json(figure) for figure in each["figures"]]})
        for name, each in found.items()
    }


def page(records: Mapping[str, Record]) -> str:
    """The page, in Markdown."""
    parts = [INTRODUCTION]
    for name, each in records.items():
        cells = [COLUMNS, ("---",) * len(COLUMNS), *rows(each.figures)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        notes = "".join(f"\n{figure.name}: {figure.note}.\n" for figure in each.figures if figure.note)
        where = f"{each.measured_at}, commit {each.commit}, {each.machine}, load {each.load}."
        parts.append(f"## {name}\n\n{where}\n\n{table}\n{notes}")
    return "\n".join(parts)


def main(words: list[str]) -> int:
    """The exit code says whether the page is current, or was written."""
    fresh = page(read_from(DATA))
    if words == ["--check"]:
        current = PAGE.exists() and PAGE.read_text() == fresh
        print(f"{PAGE.name} {'is current' if current else 'is not: run python -m tests.benchmarks.records'}")
        return 0 if current else 1
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
