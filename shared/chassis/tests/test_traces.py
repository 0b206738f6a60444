"""Real processes send real spans to a collector: what one request causes is one tree, whichever process does it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from library.programs import RELAY, WEB, WORKER
from traced.processes import Processes, ask
from traced.urls import SECRET

from tests.otlp import Collector, Span, whole

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="DATABASE_URL names no PostgreSQL")

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
# What the desk asks of each place, and what each answers.
MESSAGES = ["stacks.do", "stacks.done", "till.do", "till.done", "printer.do", "printer.done"]

# The middleware's look whether a move has begun, and the view's.
STATEMENTS = ["SELECT", *["SELECT library_book"] * 4]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def drawn(spans: list[Span]) -> dict[str, str]:
    """Each span's service and name, by its parent's; spans of statements are left out."""
    by_id = {span.span_id: span for span in spans}

    def of(span: Span | None) -> str:
        return "" if span is None else f"{span.service}: {span.name}"

    return {of(span): of(by_id.get(span.parent_id)) for span in spans if "db.system.name" not in span.attributes}


def test_what_a_request_causes_is_one_tree_across_services(
    processes: Processes, collector: Collector, rabbitmq: str
) -> None:
    common = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "BROKER_URL": rabbitmq}
    web = processes.start(WEB, OTEL_SERVICE_NAME="web", **common)
    processes.start(RELAY, OTEL_SERVICE_NAME="relay", **common)
    processes.start(WORKER, OTEL_SERVICE_NAME="desk", PLACES="desk", **common)
    processes.start(WORKER, OTEL_SERVICE_NAME="places", PLACES="stacks,till,printer", **common)
    web.await_status("/readyz", 200)

    assert ask(web, "/loans/ada", "POST", traceparent=SAMPLED).status_code == 201

    last = ("send printer.done", "process printer.done")
    spans = collector.await_(
        lambda spans: all(len(named(spans, name)) == 1 for name in last) and whole(spans, PARENT), "the whole tree"
    )
    assert {span.trace_id for span in spans} == {TRACE}
    assert_is_a_loan(drawn(spans))
    (request,) = named(spans, "POST /loans/<str:reader>")
    assert request.parent_id == PARENT
    kinds = {span.name.partition(" ")[0]: span.kind for span in spans}
    assert kinds.items() >= {"POST": "server", "create": "producer", "send": "producer", "process": "consumer"}.items()
    assert {span.resource["strangler.process"] for span in spans} == {"web", "relay", "worker"}
    assert SECRET not in repr(spans)


def assert_is_a_loan(tree: dict[str, str]) -> None:
    """Nothing is missing, nothing is there beside it."""
    assert tree.pop("web: POST /loans/<str:reader>") == ""
    assert tree.pop("web: saga lending step stacks") == "web: POST /loans/<str:reader>"
    before = {"stacks": "stacks", "till": "stacks", "printer": "till"}
    for asked, answered in zip(MESSAGES[::2], MESSAGES[1::2], strict=True):
        place = asked.partition(".")[0]
        service = "web" if place == "stacks" else "desk"
        assert tree.pop(f"{service}: create {asked}") == f"{service}: saga lending step {before[place]}"
        assert tree.pop(f"relay: send {asked}") == f"{service}: create {asked}"
        assert tree.pop(f"places: process {asked}") == f"{service}: create {asked}"
        assert tree.pop(f"places: create {answered}") == f"places: process {asked}"
        assert tree.pop(f"relay: send {answered}") == f"places: create {answered}"
        assert tree.pop(f"desk: process {answered}") == f"places: create {answered}"
        assert tree.pop(f"desk: saga lending step {place}") == f"desk: process {answered}"
    assert tree == {}


def test_a_task_belongs_to_the_trace_of_who_has_sent_it(
    processes: Processes, collector: Collector, rabbitmq: str
) -> None:
    common = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "BROKER_URL": rabbitmq}
    web = processes.start(WEB, **common)
    processes.start(WORKER, PLACES="books", **common)
    web.await_status("/readyz", 200)

    assert ask(web, "/books/shelve", "POST", traceparent=SAMPLED).status_code == 202

    spans = collector.await_(lambda spans: named(spans, "run library.worker.shelve") and whole(spans, PARENT))
    assert drawn(spans) == {
        "library: POST /books/shelve": "",
        "library: run library.worker.shelve": "library: POST /books/shelve",
    }
    (ran,) = named(spans, "run library.worker.shelve")
    assert (ran.trace_id, ran.kind, ran.status) == (TRACE, "consumer", "unset")
    assert ran.attributes["strangler.capability"] == "books"
    assert SECRET not in repr(spans)


def test_a_request_s_statements_are_its_children_and_have_no_values(processes: Processes, collector: Collector) -> None:
    web = processes.start(WEB, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    web.await_status("/readyz", 200)
    for path in ("/books", "/books/search", "/books/broken", "/healthz", "/metrics", "/nowhere/of?it=" + SECRET):
        ask(web, path)
    ask(web, "/books", traceparent=SAMPLED)
    ask(web, "/books", traceparent=UNSAMPLED)
    ask(web, "/about")

    asked = ["GET /books", "GET /books/search", "GET /books/broken", "GET", "GET /about"]
    spans = collector.await_(lambda spans: {span.name for span in spans} >= {*asked} and whole(spans, PARENT))

    assert [span.name for span in spans if not span.parent_id] == asked
    assert [span.parent_id for span in named(spans, "GET /books")] == ["", PARENT]
    first = named(spans, "GET /books")[0]
    assert [span.name for span in spans if span.parent_id == first.span_id] == STATEMENTS
    searched = [span for span in spans if span.parent_id == named(spans, "GET /books/search")[0].span_id][-1]
    assert searched.attributes["db.query.text"] == "SELECT id FROM library_book WHERE title = ? AND id < ?"
    assert (searched.kind, searched.attributes["db.system.name"]) == ("client", "postgresql")
    assert named(spans, "GET /books/broken")[0].status == "error"
    assert {span.service for span in spans} == {"library"}
    assert SECRET not in repr(spans)
    assert "424242" not in repr(spans)


def test_under_an_asgi_server_a_request_has_the_same_spans(processes: Processes, collector: Collector) -> None:
    web = processes.start((sys.executable, "-c", SERVE), OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    web.await_status("/readyz", 200)

    # The first requests have no spans: they do not wait until the library is there.
    collector.await_(lambda spans: ask(web, "/books", traceparent=SAMPLED) and named(spans, "GET /books"))

    first = named(collector.spans(), "GET /books")[0]
    assert (first.trace_id, first.parent_id) == (TRACE, PARENT)
    collector.await_(lambda spans: [span.name for span in spans if span.parent_id == first.span_id] == STATEMENTS)


SERVE = """
import os, uvicorn
uvicorn.run("traced.asgi:application", port=int(os.environ["PORT"]), lifespan="off", log_level="warning")
"""
