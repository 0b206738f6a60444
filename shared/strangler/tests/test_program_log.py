"""What people see of a program's log where the program did not start."""

from __future__ import annotations

from pathlib import Path

import pytest
from strangler.stack.program import tail


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ('{"time": "10:00", "level": "info", "service": "gunicorn", "event": "ready"}', "10:00 info ready"),
        (
            r'{"level": "error", "event": "Exception in worker", "exception": "Traceback\n  File\nKeyError: 7"}',
            "error Exception in worker: KeyError: 7",
        ),
        ('{"message": "of another program"}', '{"message": "of another program"}'),
        ("[1, 2]", "[1, 2]"),
        ('{"event": "cut off', '{"event": "cut off'),
    ],
)
def test_a_record_is_shown_in_one_sentence(tmp_path: Path, line: str, shown: str) -> None:
    log = tmp_path / "web.log"
    log.write_text(f"{line}\n")

    assert tail(log) == f"    {shown}"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "web.log") == "    (empty)"
