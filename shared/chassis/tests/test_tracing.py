from __future__ import annotations

import pytest
from chassis.process import tracing
from chassis.process.tracing import TraceMiddleware
from django.http import HttpResponse
from django.test import RequestFactory

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def trace_of(traceparent: str) -> str:
    return traceparent.split("-")[1]


def test_a_trace_is_followed_with_a_step_of_our_own():
    followed = tracing.follow(TRACE)

    assert trace_of(followed) == trace_of(TRACE)
    assert followed != TRACE
    assert followed.endswith("-00")


@pytest.mark.parametrize(
    "received",
    ["", "nonsense", TRACE.replace("00-", "ff-", 1), TRACE.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01"],
)
def test_what_is_no_trace_begins_a_new_one(received):
    followed = tracing.follow(received)

    version, trace, span, flags = followed.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert trace not in received


def test_inside_a_trace_all_is_sent_along_with_the_same():
    with tracing.following(TRACE) as chosen:
        assert tracing.current_traceparent() == chosen

    assert trace_of(tracing.current_traceparent()) != trace_of(TRACE)


def test_a_request_s_trace_is_that_of_its_caller():
    seen = []

    def view(request):
        seen.append(tracing.current_traceparent())
        return HttpResponse()

    TraceMiddleware(view)(RequestFactory().get("/", headers={"traceparent": TRACE}))

    assert trace_of(seen[0]) == trace_of(TRACE)
