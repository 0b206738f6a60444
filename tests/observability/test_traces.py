"""A checkout is one trace, from the gateway to the last message; also while a capability moves that it needs.

One stack goes through all stages, in the order of the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from textwrap import dedent

import pytest

from tests.observability.observed import CALLED, STATEMENT, Customers, Observed, children, drawn
from tests.otlp import Collector, Span
from tests.waiting import eventually

CUSTOMERS = 12  # so many that few pauses are without an order that meets the fence
SWITCHES = 6  # at most, until one has met an order
MET_SECONDS = 10.0
BOUNCED = "POST orders/bounced-to-service"
SWITCH = "strangler switch orders"
STEPS = (
    "announce", "fence owner", "drain stream", "prepare owner", "begin opening", "take ownership", "open owner",
    "release requests", "flip routes", "release events",
)  # fmt: skip

IN_ONE_TRANSACTION = """\
gateway: POST orders/writes
  gateway: router monolith egress
    monolith: POST /api/v1/orders
      monolith: create orders.order.confirmed
        monolith-relay: send orders.order.confirmed"""

# {0} has the orders; products are in their service. {1} are calls to others.
BY_A_SAGA = """\
gateway: POST orders/writes
  gateway: router {0} egress
    {0}: POST /api/v1/orders{1}
      {0}: saga checkout step reserve
        {0}: create products.reserve
          products-worker: process products.reserve
            products-worker: create products.reserved
              {0}-worker: process products.reserved
                {0}-worker: saga checkout step reserve
                  {0}-worker: create orders.order.confirmed
                    {0}-relay: send orders.order.confirmed
              products-relay: send products.reserved
          {0}-relay: send products.reserve"""


IN_THE_MONOLITH = BY_A_SAGA.format("monolith", "")
IN_THE_SERVICE = BY_A_SAGA.format("orders", "\n      orders: GET products\n      orders: GET users")

BELOW_THE_SERVICE = dedent("\n".join(IN_THE_SERVICE.splitlines()[1:]))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Observed]:
    found = Observed(tmp_path_factory.mktemp("observed"), collector)
    try:
        found.up()
        yield found
    finally:
        found.down()
        found.end_remains()


@pytest.fixture(scope="module")
def customers(shop: Observed) -> Customers:
    return Customers(shop, CUSTOMERS)


def trace_of_a_checkout(shop: Observed, customers: Customers, *, expected: str) -> list[Span]:
    """The one trace of an order, which must become what is expected: each process sends its spans for itself."""
    number = customers.check_out()

    def present() -> list[Span]:
        return shop.collector.trace(number)

    with suppress(AssertionError):  # the comparison below says more
        eventually(lambda: drawn(present()) == expected, "the whole trace")
    assert drawn(present()) == expected
    return present()


def statements(trace: Sequence[Span], service: str) -> list[str]:
    return [span.name for span in trace if span.service == service and STATEMENT in span.attributes]


def test_in_the_monolith_it_is_one_trace_down_to_the_relay(shop: Observed, customers: Customers) -> None:
    trace = trace_of_a_checkout(shop, customers, expected=IN_ONE_TRANSACTION)

    assert {"INSERT orders_order", "UPDATE products_product", "INSERT chassis_outbox"} <= {
        *statements(trace, "monolith")
    }


def test_with_products_in_their_service_the_same_trace_goes_through_both_and_all_messages(
    shop: Observed, customers: Customers
) -> None:
    shop.move("users")
    shop.move("products")

    trace = trace_of_a_checkout(shop, customers, expected=IN_THE_MONOLITH)

    assert "UPDATE products_product" in statements(trace, "products-worker")
    assert "UPDATE products_product" not in statements(trace, "monolith")


def test_while_its_own_capability_moves_it_is_one_trace_through_both_sides_and_says_what_the_move_did(
    shop: Observed, customers: Customers
) -> None:
    shop.run("start", "orders")
    shop.run("verify", "orders")
    with customers.checking_out():
        spans, epoch = _switched_until_an_order_is_bounced(shop)

    # The verb: a step below it for each that is printed, and the pause between two of them.
    [switch] = [span for span in spans if span.name == SWITCH]
    steps = {span.name: span for span in children(spans, switch)}
    assert [name for name in steps if name in STEPS] == list(STEPS)
    assert (switch.service, switch.attributes["strangler.outcome"]) == ("strangler", "done")
    fence, lift = steps["fence owner"], steps["open owner"]
    assert (lift.end - fence.start) / 1e6 >= switch.attributes["strangler.pause_ms"] > 0

    # An order that met the fence.
    bounced = next(span for span in spans if span.name == BOUNCED and _is_whole(spans, span))
    trace = shop.collector.trace(bounced.trace_id)
    first, second = (_way(trace, "monolith"), _way(trace, "orders"))
    assert (first.parent_id, first.attributes["http.status_code"]) == (bounced.span_id, "307")
    assert (second.attributes["strangler.to"], second.attributes["http.status_code"]) == ("service", "201")
    assert drawn(trace, below=second) == BELOW_THE_SERVICE
    told = {event.name: event.attributes for span in children(trace, first) for event in span.events}
    assert told["strangler.bounced"]["strangler.capability"] == "orders"
    assert told["strangler.bounced"]["strangler.epoch"] in (epoch - 1, epoch)
    # Both can be looked at beside each other. Until the gateway has the new routes, also after the lift, it bounces.
    assert bounced.start < switch.end
    assert bounced.end > fence.start


def test_with_everything_in_its_service_it_is_the_service_s_trace(shop: Observed, customers: Customers) -> None:
    trace = trace_of_a_checkout(shop, customers, expected=IN_THE_SERVICE)

    # A call goes through the gateway, and on in the same trace.
    calls = {span.attributes[CALLED]: span for span in trace if CALLED in span.attributes}
    assert set(calls) == {"products", "users"}
    for service, call in calls.items():
        [request] = children(trace, call)
        [way] = children(trace, request)
        [there] = children(trace, way)
        assert [each.service for each in (request, way, there)] == ["gateway", "gateway", service]


def _switched_until_an_order_is_bounced(shop: Observed) -> tuple[list[Span], int]:
    """The spans of a switch that an order has met, and the epoch since; a pause can be too short to be met."""
    for epoch in range(2, 2 * SWITCHES + 2, 2):
        shop.collector.forget()
        eventually(shop.collector.spans, "orders under way")
        shop.run("switch", "orders", "--yes")
        with suppress(AssertionError):
            return shop.collector.await_(_has_met_an_order, "a bounced order, whole", within=MET_SECONDS), epoch
        shop.run("reverse", "orders", "--yes")
    raise AssertionError(f"none of {SWITCHES} switches met an order")


def _has_met_an_order(spans: Sequence[Span]) -> bool:
    bounced = (span for span in spans if span.name == BOUNCED)
    return any(span.name == SWITCH for span in spans) and any(_is_whole(spans, span) for span in bounced)


def _way(trace: Sequence[Span], process: str) -> Span:
    [way] = [span for span in trace if span.name == f"router {process} egress"]
    return way


def _is_whole(spans: Sequence[Span], root: Span) -> bool:
    trace = [span for span in spans if span.trace_id == root.trace_id]
    ways = {span.name: span for span in trace if span.name.startswith("router ")}
    return (
        set(ways) >= {"router monolith egress", "router orders egress"}
        and bool(children(trace, ways["router monolith egress"]))
        and drawn(trace, below=ways["router orders egress"]) == BELOW_THE_SERVICE
    )
