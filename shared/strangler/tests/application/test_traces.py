"""Verbs as traces: a root span for each, a span for each step, and a collector that can do no harm."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from moves import NAME, READY, moving, parts_of, relay, run_recovery, run_switch
from strangler.adapters.telemetry.tracer import MOST_SPANS, SEND_SECONDS, AskedTracer
from strangler.application.ending import cancel, complete
from strangler.application.resync import resync
from strangler.application.sides import Parts
from strangler.application.start import start
from strangler.application.switch import STEPS, switch
from strangler.application.verify import verify
from strangler.domain.errors import MoveError, RefusedError
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.tracer import Tracer
from strangler.testing import Crashed, World

from tests.otlp import Collector, Span

STARTING = ["preflight", "fence copy", "copy rows", "stream forward", "stream back"]
SWITCHING = ["make ready", "pass gates", *(step.name for step in STEPS)]
NOTHING = lambda *_: None  # noqa: E731


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


def tracer(endpoint: str, warn: Callable[[str], None] = pytest.fail, **environment: str) -> AskedTracer:
    return AskedTracer({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **environment}, warn)


def observed(world: World, by: Tracer) -> Parts:
    return replace(parts_of(world), tracer=by)


def told(collector: Collector, by: AskedTracer, root: str) -> tuple[Span, list[Span]]:
    """The trace whose root has that name, and the spans right below the root, as they began."""
    by.send()
    spans = collector.await_(lambda spans: any(span.name == root for span in spans))
    found = [span for span in spans if span.name == root]
    assert len(found) == 1
    assert not found[0].parent_id
    return found[0], [span for span in spans if span.parent_id == found[0].span_id]


@pytest.mark.parametrize(("owner", "verb"), [(MONOLITH, "switch"), (SERVICE, "reverse")])
def test_a_change_of_owner_has_a_span_for_each_step_and_says_how_long_writes_paused(
    collector: Collector, owner: str, verb: str
) -> None:
    by = tracer(collector.endpoint)
    world = moving(owner)
    epoch = world.moves[NAME].epoch

    run_switch(observed(world, by), verb)

    root, steps = told(collector, by, f"strangler {verb} {NAME}")
    assert sorted(span.name for span in steps) == sorted(SWITCHING)
    assert [span.name for span in steps if span.name in {step.name for step in STEPS}] == [step.name for step in STEPS]
    assert {span.service for span in (root, *steps)} == {"strangler"}
    pause_ms = root.attributes.pop("strangler.pause_ms")
    assert pause_ms > 0
    assert root.attributes == {
        "strangler.verb": verb,
        "strangler.capability": NAME,
        "strangler.epoch": epoch + 1,
        "strangler.tries": 1,
        "strangler.events_held": False,
        "strangler.outcome": "done",
    }
    fence, lift = (next(span for span in steps if span.name == name) for name in ("fence owner", "open owner"))
    assert fence.start < lift.end
    assert root.status == "unset"


def test_the_other_verbs_have_their_steps(collector: Collector) -> None:
    by = tracer(collector.endpoint)
    world = World()
    parts = observed(world, by)

    start(parts, progress=NOTHING, boundary=NOTHING)
    verify(parts, repair=False, progress=NOTHING)
    cancel(parts)
    start(parts, progress=NOTHING, boundary=NOTHING)
    verify(parts, repair=True, progress=NOTHING)
    run_switch(parts, "switch")
    complete(parts, drop=True, unused_for=0, unread_for=0)

    by.send()
    spans = collector.await_(lambda spans: any(span.name == f"strangler complete {NAME}" for span in spans))
    roots = [span for span in spans if not span.parent_id]
    assert [(root.name, root.attributes["strangler.outcome"]) for root in roots] == [
        (f"strangler {verb} {NAME}", "done")
        for verb in ("start", "verify", "cancel", "start", "verify", "switch", "complete")
    ]
    below = [[span.name for span in spans if span.parent_id == root.span_id] for root in roots]
    assert below[:5] == [STARTING, ["compare rows"], ["remove streams and copy"], STARTING, ["repair rows"]]
    assert below[6] == ["end forward stream", "drop old tables"]
    assert len({root.trace_id for root in roots}) == len(roots)


def test_a_refusal_is_recorded_with_its_identifier_and_its_words(collector: Collector) -> None:
    by = tracer(collector.endpoint)

    with pytest.raises(RefusedError, match="no stream is lost"):
        resync(observed(moving(), by), progress=NOTHING)

    root, _ = told(collector, by, f"strangler resync {NAME}")
    assert (root.status, root.attributes["strangler.outcome"]) == ("error", "refused")
    assert root.attributes["error.type"] == "no-stream-lost"
    [event] = root.events
    assert "no stream is lost" in event.attributes["exception.message"]


def test_a_step_that_fails_is_the_one_with_the_error_and_the_unwinding_is_beside_it(collector: Collector) -> None:
    by = tracer(collector.endpoint)
    world = moving()

    def fail(name: str) -> None:
        relay(world)
        if name == "after:prepare owner":
            raise MoveError("the machine has no more of it", place=NAME, id="step-failed")

    with pytest.raises(MoveError):
        switch(observed(world, by), "switch", ready=READY, timeout=1.0, boundary=fail)

    root, steps = told(collector, by, f"strangler switch {NAME}")
    assert (root.status, root.attributes["strangler.outcome"]) == ("error", "failed")
    assert root.attributes["error.type"] == "step-failed"
    assert "strangler.pause_ms" not in root.attributes
    assert steps[-1].name == "unwind"
    assert steps[-2].name == "prepare owner"


def test_what_recovery_finishes_is_a_trace_of_its_own(collector: Collector) -> None:
    by = tracer(collector.endpoint)
    world = moving()

    def crash(name: str) -> None:
        relay(world)
        if name == "after:take ownership":
            raise Crashed

    with pytest.raises(Crashed):
        switch(parts_of(world), "switch", ready=READY, timeout=1.0, boundary=crash)
    world.locks.clear()
    run_recovery(observed(world, by))

    root, [settle] = told(collector, by, f"strangler recover {NAME}")
    assert root.attributes["strangler.outcome"] == "done"
    assert root.attributes["strangler.epoch"] == world.moves[NAME].epoch
    assert settle.name == "settle"


def test_an_error_of_another_kind_keeps_its_words_to_itself(collector: Collector) -> None:
    by = tracer(collector.endpoint)

    with pytest.raises(ValueError, match="secret"), by.span("any"):
        raise ValueError("password=secret")

    root, _ = told(collector, by, "any")
    assert root.attributes["error.type"] == "ValueError"
    assert "secret" not in f"{root.attributes}{root.events}"


def test_a_collector_that_hangs_is_not_spoken_to_before_the_end_and_holds_up_the_end_a_little() -> None:
    warnings: list[str] = []
    with Collector(hangs=True) as silent:
        by = tracer(silent.endpoint, warnings.append)
        run_switch(observed(moving(), by), "switch")
        asked_meanwhile = silent.requests

        began = time.monotonic()
        by.send()
        seconds = time.monotonic() - began

    assert asked_meanwhile == 0
    assert seconds < SEND_SECONDS + 1
    [line] = warnings
    assert silent.endpoint.removeprefix("http://") in line


def test_a_collector_that_refuses_is_one_line_and_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    warnings: list[str] = []
    with Collector(status=400) as refusing:
        by = tracer(refusing.endpoint, warnings.append)
        run_switch(observed(moving(), by), "switch")
        by.send()

    assert len(warnings) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "nonsense"}],
)
def test_nothing_of_the_library_is_imported_where_nobody_asks(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # an import of it raises ImportError
    by = AskedTracer(environment, pytest.fail)

    run_switch(observed(moving(), by), "switch")
    by.send()


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "few"}, "OpenTelemetry does not start"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "nowhere"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_a_broken_value_is_one_line_and_the_verb_does_its_work(
    environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    for name, value in environment.items():
        monkeypatch.setenv(name, value)  # the library itself reads some of them
    by = AskedTracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **environment}, warnings.append)
    world = moving()

    run_switch(observed(world, by), "switch")
    by.send()

    assert world.moves[NAME].owner == SERVICE
    [line] = warnings
    assert named in line
    assert "\n" not in line


def test_without_the_library_it_is_said_once_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    by = tracer("http://127.0.0.1:9", warnings.append)

    run_switch(observed(moving(), by), "switch")
    by.send()

    [line] = warnings
    assert "pip install 'strangler[tracing]'" in line


def test_what_is_never_sent_does_not_grow_for_ever() -> None:
    by = tracer("http://127.0.0.1:9", lambda _: None)
    for _ in range(MOST_SPANS + 10):
        with by.span("any"):
            pass

    keeper = by._keeper
    assert keeper is not None
    assert len(keeper.spans) == MOST_SPANS


def test_the_share_of_the_sampler_is_kept(collector: Collector) -> None:
    by = tracer(collector.endpoint, OTEL_TRACES_SAMPLER="always_off")
    with by.span("never"):
        pass
    by.send()

    assert collector.requests == 0


def test_only_adapters_know_the_library() -> None:
    package = Path(sys.modules["strangler"].__path__[0])

    knowing = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if "opentelemetry import" in path.read_text()
    }

    assert knowing == {"adapters/telemetry/tracer.py"}
