"""What `strangler serve` shows of a move, and of the changes of owner that the history has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from strangler.application.status import Status
from strangler.cli import measures
from strangler.domain.move import Entry
from strangler.ports.ledger import Ledger
from strangler.testing.ledger import MemoryLedger
from strangler.testing.world import World

NAME = "crates"
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    measures.forget(NAME)


@pytest.fixture
def ledger() -> Ledger:
    return MemoryLedger(World())


def value(metric: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(metric, {"capability": NAME, **labels})


def stream(direction: str, **more: Any) -> dict[str, Any]:
    found = {"exists": True, "active": True, "lost": False, "lag_bytes": 7, "lag_seconds": 0.5, "retained_bytes": 99}
    return {"direction": direction, "errors": 2, **found, **more}


def test_a_look_is_shown(ledger: Ledger) -> None:
    found = Status(NAME, "verified", "monolith", 4, streams=[stream("forward")], gateway={"one": 4, "two": 3})
    found.verified = {"verified_at": AT.isoformat(), "verified_rows": 10, "differing": 1}
    found.events = {"held": True, "backlog": {"monolith": 3, "service": 0}}

    measures.show(found, AT)

    assert value("strangler_move_phase", phase="verified") == 1
    assert value("strangler_move_phase", phase="switched") == 0
    assert (value("strangler_owner", side="monolith"), value("strangler_owner", side="service")) == (1, 0)
    assert value("strangler_epoch") == 4
    assert value("strangler_lag_bytes", direction="forward") == 7
    assert value("strangler_slot_retained_bytes", direction="forward") == 99
    assert value("strangler_verified_timestamp_seconds") == AT.timestamp()
    assert value("strangler_differing_rows") == 1
    assert value("strangler_outbox_rows", side="monolith") == 3
    assert value("strangler_gateway_agents", state="behind") == 1
    assert value("strangler_ledger_archived_timestamp_seconds") == AT.timestamp()


def test_what_is_there_no_more_is_not_shown(ledger: Ledger) -> None:
    measures.show(Status(NAME, "streaming", "monolith", 4, streams=[stream("forward"), stream("reverse")]), AT)

    measures.show(
        Status(NAME, "streaming", "monolith", 4, streams=[stream("forward"), stream("reverse", exists=False)])
    )

    assert value("strangler_lag_bytes", direction="forward") == 7
    assert value("strangler_lag_bytes", direction="reverse") is None
    assert value("strangler_ledger_archived_timestamp_seconds") is None


def test_a_stream_that_stands_still_is_not_said_to_be_on_time() -> None:
    stopped = stream("forward", active=False, lag_seconds=0.0)

    measures.show(Status(NAME, "moving, with problems", "monolith", 4, streams=[stopped]))

    assert value("strangler_stream_running", direction="forward") == 0
    assert value("strangler_lag_seconds", direction="forward") is None
    assert value("strangler_lag_bytes", direction="forward") == 7


def test_another_process_that_works_has_all_to_itself(ledger: Ledger) -> None:
    measures.show(Status(NAME, "streaming", "monolith", 4, streams=[stream("forward")]))
    ledger.record(NAME, "switch", took_ms=20.0)
    measures.read_history(NAME, ledger)

    measures.forget(NAME)

    assert NAME not in generate_latest(REGISTRY).decode()


@pytest.mark.parametrize("phase", ["not started", "moving, with problems", "retired"])
def test_each_phase_has_its_series(phase: str) -> None:
    measures.show(Status(NAME, phase, "monolith", 0))

    assert value("strangler_move_phase", phase=phase) == 1


def test_a_pause_is_a_histogram_and_has_a_begin_and_an_end() -> None:
    details = {"since_lift_ms": 500.0, "steps_ms": {"fence owner": 15.0, "drain stream": 5.0}}

    measures.HISTORY.take(NAME, [Entry(1, "switch", AT, 30.0, details)])

    assert value("strangler_pause_seconds_sum", verb="switch") == pytest.approx(0.03)
    assert value("strangler_pause_seconds_bucket", verb="switch", le="0.025") == 0
    assert value("strangler_pause_seconds_bucket", verb="switch", le="0.05") == 1
    assert value("strangler_pause_seconds_count", verb="switch") == 1
    assert value("strangler_pause_seconds_count", verb="reverse") == 0
    assert value("strangler_step_seconds_sum", verb="switch", step="fence owner") == pytest.approx(0.015)
    ended = (AT - timedelta(milliseconds=500)).timestamp()
    assert value("strangler_pause_ended_timestamp_seconds") == pytest.approx(ended)
    assert value("strangler_pause_began_timestamp_seconds") == pytest.approx(ended - 0.03)


def test_changes_are_counted_by_how_they_ended(ledger: Ledger) -> None:
    ledger.record(NAME, "verified", took_ms=1.0)
    ledger.record(NAME, "switch", took_ms=20.0)
    ledger.record("other", "switch", took_ms=20.0)
    measures.read_history(NAME, ledger)
    ledger.record(NAME, "reverse aborted", took_ms=None)
    ledger.record(NAME, "switch finished by recovery", verb="reverse")
    measures.read_history(NAME, ledger)
    measures.read_history(NAME, ledger)

    counted = {
        (verb, outcome): value("strangler_changes_total", verb=verb, outcome=outcome)
        for verb in ("switch", "reverse")
        for outcome in ("done", "aborted", "recovered")
    }
    once = {("switch", "done"), ("reverse", "aborted"), ("reverse", "recovered")}
    assert counted == {change: float(change in once) for change in counted}


def test_an_entry_of_an_older_version_has_no_steps() -> None:
    measures.HISTORY.take(NAME, [Entry(1, "switch", AT, 30.0, {"owner": "service", "tries": 1})])

    assert value("strangler_pause_ended_timestamp_seconds") == AT.timestamp()
    assert "strangler_step_seconds_count" not in generate_latest(REGISTRY).decode()
