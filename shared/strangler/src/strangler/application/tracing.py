"""Each verb is one trace: a root span for the verb, and below it a span for each step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from strangler.application.sides import Parts
from strangler.domain.errors import RefusedError, StranglerError
from strangler.ports.tracer import Span


@contextmanager
def traced(parts: Parts, verb: str) -> Iterator[Span]:
    """The verb's span around its whole work; ``outcome`` says how it ended: done, refused, failed or interrupted."""
    with parts.tracer.span(f"strangler {verb} {parts.name}", verb=verb, capability=parts.name) as span:
        try:
            yield span
        except StranglerError as error:
            span.note(outcome="refused" if error.exit_code == RefusedError.exit_code else "failed")
            raise
        except Exception:
            span.note(outcome="failed")
            raise
        except BaseException:
            span.note(outcome="interrupted")
            raise
        span.note(outcome="done")
