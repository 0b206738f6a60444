"""A switch that fails before the point of no return leaves both sides as it found them, wherever it fails."""

from __future__ import annotations

from typing import Any

import pytest
from strangler.application.switch import REVOCABLE
from yard import SIDES, Yard

BOUNDARIES = [f"{when}:{step.name}" for step in REVOCABLE for when in ("before", "after")][:-1]
# An abort takes two epochs; the note that a side was prepared has no effect.
ROW = "SELECT to_jsonb(s) - 'epoch' - 'prepared' FROM strangler.side s"
TRIGGERS = """
SELECT jsonb_object_agg(concat_ws(' ', tgrelid::regclass, tgname), tgenabled::text || pg_get_triggerdef(oid))
FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 AND tgrelid <> 'strangler.drill'::regclass
"""
QUERIES = (ROW, TRIGGERS)


class AbortedError(Exception):
    """An error that no step expects."""


def state(made: Yard) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side in SIDES:
        with made.side(side) as connection:
            for query in QUERIES:
                row = connection.execute(query.encode()).fetchone()
                assert row is not None
                found[f"{side} {query.split()[1][:12]}"] = row[0]
    return found


def test_both_sides_are_as_before_wherever_a_switch_is_aborted(moving: Yard) -> None:
    for verb in ("switch", "reverse"):
        before = state(moving)
        for boundary in BOUNDARIES:

            def abort(name: str, here: str = boundary) -> None:
                if name == here:
                    raise AbortedError

            with pytest.raises(AbortedError):
                moving.switch(verb, boundary=abort)

            assert state(moving) == before, (verb, boundary)
        moving.verify()
        moving.switch(verb)
        moving.verify()
