"""`strangler extract` in a project of half a million lines: it reads with libcst only what it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import extracting

# Of the processor's time in which libcst reads all files of the project once. The project describes itself, and Django
# checks the service twice: that is in it.
MOST = 2.0


@pytest.mark.soak
def test_half_a_million_lines_take_less_memory_than_promised_and_no_multiple_of_reading_them(tmp_path: Path) -> None:
    lines, ours, peer = extracting.of_large(tmp_path, extracting.APPS)

    assert lines > 500_000
    assert ours.mib <= extracting.LARGE_MIB
    assert ours.processor <= MOST * peer.processor, (ours, peer)
