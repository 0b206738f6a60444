"""The tool and the chassis import nothing of each other, and must hide the same."""

from __future__ import annotations

from tests.stack import ROOT


def test_the_tool_masks_what_the_chassis_masks() -> None:
    ours = ROOT / "shared/strangler/src/strangler/domain/masking.py"

    assert ours.read_text() == (ROOT / "shared/chassis/src/chassis/process/masking.py").read_text()
