"""The spans of this process, as OpenTelemetry's SDK records them."""

from __future__ import annotations

import pytest
from chassis.process import queries, tracing
from chassis.process.tracing import TraceMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from library.recorded import Recorded

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
RECEIVED = f"00-{TRACE}-{PARENT}-01"


def test_what_is_sent_along_is_the_current_span(recorded: Recorded) -> None:
    with tracing.span("outer"), tracing.span("inner"):
        sent = tracing.current_traceparent()
        assert tracing.trace_id() == sent[3:35]

    inner = recorded.one("inner")
    assert sent == f"00-{inner.context.trace_id:032x}-{inner.context.span_id:016x}-01"
    assert recorded.parent_of(inner) == "outer"


def test_a_trace_that_was_received_is_followed(recorded: Recorded) -> None:
    with tracing.following(RECEIVED) as chosen, tracing.span("work"):
        assert chosen == RECEIVED

    work = recorded.one("work")
    assert (f"{work.context.trace_id:032x}", f"{work.parent.span_id:016x}") == (TRACE, PARENT)


@pytest.mark.parametrize("received", ["", "nonsense", f"ff-{TRACE}-{PARENT}-01"])
def test_what_is_no_trace_begins_a_new_one(recorded: Recorded, received: str) -> None:
    with tracing.entered("work", received, kind="consumer"):
        pass

    work = recorded.one("work")
    assert work.parent is None
    assert f"{work.context.trace_id:032x}" != TRACE


def test_a_caller_who_does_not_sample_is_respected_and_still_followed(recorded: Recorded) -> None:
    with tracing.entered("work", RECEIVED[:-1] + "0", kind="server") as span:
        assert not span.is_kept
        sent = tracing.current_traceparent()

    assert recorded.spans == []
    assert (sent[3:35], sent[-2:]) == (TRACE, "00")


def test_an_error_leaves_its_type_and_never_its_text(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("work"):
        raise ValueError("a secret")

    work = recorded.one("work")
    assert work.attributes == {"error.type": "ValueError"}
    assert work.events == ()
    assert "secret" not in work.to_json()


def test_without_a_tracer_spans_are_nothing() -> None:
    with tracing.span("work") as span, tracing.span("more") as more:
        span.note({"a": 1})
        tracing.event("b")

    assert span is more is tracing.NO_SPAN
    assert tracing.known_traceparent() == ""


def test_probes_and_scrapes_have_no_span(recorded: Recorded) -> None:
    middleware = TraceMiddleware(lambda request: HttpResponse())

    for path in ("/healthz", "/readyz", "/metrics"):
        middleware(RequestFactory().get(path, headers={"traceparent": RECEIVED}))

    assert recorded.spans == []


@pytest.mark.urls("traced.urls")
def test_a_request_s_span_has_its_route_and_no_part_of_its_address(recorded: Recorded) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        from django.urls import resolve

        request.resolver_match = resolve(request.path_info)
        return HttpResponse(status=503)

    TraceMiddleware(view)(RequestFactory().post("/loans/ada@example.com?token=secret"))

    span = recorded.one("POST /loans/<str:reader>")
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/loans/<str:reader>",
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert not span.status.is_ok


@pytest.mark.parametrize(
    ("statement", "name", "text"),
    [
        ('SELECT "a"."b" FROM "a" WHERE "a"."c" = %s', "SELECT a", 'SELECT "a"."b" FROM "a" WHERE "a"."c" = %s'),
        ("SELECT * FROM a WHERE b = 'x''y' AND c = 12.5", "SELECT a", "SELECT * FROM a WHERE b = ? AND c = ?"),
        ("INSERT INTO a2 (b) VALUES (E'x\\'y'), ($t$z$t$)", "INSERT a2", "INSERT INTO a2 (b) VALUES (?), (?)"),
        ("UPDATE public.a SET b = $1 -- 'why", "UPDATE a", "UPDATE public.a SET b = $1"),
        ("/* of 'ada' */ DELETE FROM ONLY a", "DELETE a", "DELETE FROM ONLY a"),
        ("SELECT '1' AS \"it's\"", "SELECT", ""),
        (r"SELECT 'C:\' , 'ada', 'D:\' ", "SELECT", ""),
        ("SELECT 'never ended", "SELECT", ""),
        ("SAVEPOINT s1", "SAVEPOINT", "SAVEPOINT s1"),
        ("", "SQL", ""),
        ("SELECT " + "x, " * 5000 + "'ada'", "SELECT", ""),
    ],
)
def test_a_statement_is_shown_without_a_value(statement: str, name: str, text: str) -> None:
    described = queries.describe(statement)

    assert (described.name, described.text) == (name, text)
