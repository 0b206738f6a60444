"""What a move does with a request, in the request's trace: see docs/reference/tracing.md for the names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from chassis.ownership import owners
from chassis.ownership.owners import SideState
from chassis.process import tracing
from chassis.process.tracing import Attributes, Span


def of(state: SideState | None) -> Attributes:
    """The attributes that name the capability, its epoch and this side."""
    if state is None:
        return {}
    return {
        "strangler.capability": state.capability,
        "strangler.epoch": state.epoch,
        "strangler.side": state.side,
        "strangler.open": state.open,
    }


def seen(capability: str) -> Attributes:
    """The same as far as this process has seen it: a worker asks nobody for it."""
    found = {"capability": capability, **owners.place(capability)}
    return {f"strangler.{name}": value for name, value in found.items()}


@contextmanager
def held(capability: str, state: SideState | None) -> Iterator[Span]:
    """For as long as a request waits for an owner. ``state`` is what was known before."""
    if not tracing.is_on():
        yield tracing.NO_SPAN
        return
    began = monotonic()
    with tracing.span("strangler.held", attributes={"strangler.capability": capability, **of(state)}) as span:
        try:
            yield span
        finally:
            span.note({"strangler.held_seconds": monotonic() - began})


def event(name: str, state: SideState | None, **more: str | int | bool) -> None:
    """An event of the request's span, with the capability and the epoch."""
    if tracing.is_on():
        told = {f"strangler.{key}": value for key, value in more.items() if value != ""}
        tracing.event(f"strangler.{name}", {**of(state), **told})


def awaited(state: SideState, model: str) -> Span:
    """For ``with``: a row that the owner has is waited for here."""
    if not tracing.is_on():
        return tracing.NO_SPAN
    return tracing.span("strangler.awaited", attributes={**of(state), "strangler.model": model})


def forwarded(state: SideState, to: str) -> Span:
    """For ``with``: the request is sent to the other side from here."""
    if not tracing.is_on():
        return tracing.NO_SPAN
    return tracing.span("strangler.forwarded", kind="client", attributes={**of(state), "strangler.to": to})


def asked(state: SideState) -> Span:
    """For ``with``: the owner is asked for a row, or for its part of a deletion."""
    return tracing.span("strangler.asked", kind="client", attributes=of(state)) if tracing.is_on() else tracing.NO_SPAN
