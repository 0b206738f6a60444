"""The table says of each figure what it was compared with, and whether a goal was reached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import records, table
from tests.benchmarks.records import Record
from tests.benchmarks.table import Figure, Goal

COPY = Figure(
    "rows copied", "per s", 90_000.0, {"pipe": 100_000.0, "native": 20_000.0},
    (Goal(0.85, "pipe", least=True), Goal(5.0, "native", least=True)), "1 million rows",
)  # fmt: skip
PAUSE = Figure("pause, median", "ms", 31.4, {"floor": 12.0}, (Goal(2.0, "floor"), Goal(250.0)))


def test_a_row_per_peer_has_its_ratio_and_whether_its_goal_is_reached() -> None:
    assert table.rows([COPY, PAUSE]) == [
        ("rows copied", "90,000 per s", "pipe: 100,000", "0.90", "≥ 0.85 ✓"),
        ("", "", "native: 20,000", "4.50", "≥ 5 MISSED"),
        ("pause, median", "31.4 ms", "", "", "≤ 250 ✓"),
        ("", "", "floor: 12", "2.62", "≤ 2 MISSED"),
    ]
    assert [len(figure.missed()) for figure in (COPY, PAUSE)] == [1, 1]


def test_a_goal_beside_a_peer_that_was_not_measured_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="pgcopydb"):
        Figure("copy", "s", 1.0, {"pipe": 1.0}, (Goal(1.0, "pgcopydb"),))


def test_what_was_recorded_is_read_again_and_is_on_the_page(tmp_path: Path) -> None:
    found = {"copying": Record("2001-02-03", "abcdef0", "a machine", 0.5, [COPY])}
    records.write(tmp_path / "figures.json", found)

    assert records.read_from(tmp_path / "figures.json") == found
    page = records.page(found)
    assert "| rows copied | 90,000 per s | pipe: 100,000 | 0.90 | ≥ 0.85 ✓ |" in page
    assert "2001-02-03, commit abcdef0, a machine, load 0.5" in page
    assert "rows copied: 1 million rows" in page


def test_a_benchmark_that_is_not_there_is_refused_before_any_runs() -> None:
    asked = [sys.executable, "-m", "tests.benchmarks", "preflight", "nonsense"]
    done = subprocess.run(asked, cwd=records.ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no benchmark 'nonsense'" in done.stderr
