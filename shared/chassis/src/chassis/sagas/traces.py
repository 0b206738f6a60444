"""The spans of a saga's turns, in the trace of the work that began the saga."""

from __future__ import annotations

from typing import Any

from chassis.process import tracing

# Of a mark in a row's trail: the turn that came to the step. A turn that only the clock begins continues its trace.
MARK = "traceparent"


def turning(kind: str, step: str, *, key: object, parent: str = "") -> tracing.Span:
    """For ``with``: one turn of the saga ``key``, which begins at ``step``."""
    if not tracing.is_on():
        return tracing.NO_SPAN
    told = {"strangler.saga.kind": kind, "strangler.saga.step": step, "strangler.saga.id": str(key)}
    return tracing.span(f"saga {kind} step {step}", parent=parent, attributes=told)


def turned(span: tracing.Span, row: Any) -> None:
    """Notes where the turn has led to."""
    if span.is_kept:
        span.note({"strangler.saga.state": str(row.state), "strangler.saga.next": row.step})


def mark(mark: dict[str, Any]) -> dict[str, Any]:
    """The mark of a step that is being entered. Without OpenTelemetry it is as it was."""
    known = tracing.known_traceparent() if tracing.is_on() else ""
    return {**mark, MARK: known} if known else mark


def origin(row: Any) -> str:
    """The ``traceparent`` of the turn that came to the row's present step, or nothing."""
    return next((str(each.get(MARK, "")) for each in row.trail if each["step"] == row.step), "")
