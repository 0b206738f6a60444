"""The shop with a collector that takes in all spans of its processes and of the tool, and customers who check out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.contract import people
from tests.contract.people import Account
from tests.otlp import Collector, Span
from tests.stack import Stack

STOCK = 1_000_000
DELAY_MS = 200
STATEMENT = "db.system.name"
CALLED = "peer.service"  # of a call over HTTP


class Observed(Stack):
    """A stack of its own, whose processes and verbs send their spans to ``collector``."""

    def __init__(self, folder: Path, collector: Collector) -> None:
        super().__init__(folder)
        self.collector = collector

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        asked = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": str(DELAY_MS),
        }
        return {**super()._environment(more), **asked}

    def move(self, capability: str) -> None:
        """Copies, proves and switches."""
        for verb in (("start",), ("verify",), ("switch", "--yes")):
            self.run(verb[0], capability, *verb[1:])


class Customers:
    """Accounts, and two products that are never sold out."""

    def __init__(self, stack: Stack, count: int) -> None:
        self._stack = stack
        with stack.client() as api:
            self._accounts = [people.sign_up(api, people.fresh_email()) for _ in range(count)]
            staff = people.staff(api)
            found = api.get("/api/v1/products?page_size=2&ordering=name").json()["results"]
            self._products = [product["id"] for product in found]
            for product in self._products:
                path = f"/api/v1/products/{product}/stock"
                api.post(path, json={"delta": STOCK}, headers=staff.headers).raise_for_status()

    def check_out(self) -> str:
        """One order, which must be confirmed; returns the id of its trace."""
        with self._stack.client() as api:
            return self._order(api, self._accounts[0])

    @contextmanager
    def checking_out(self) -> Iterator[None]:
        """All order again and again until the block ends; each order must be confirmed."""
        over: list[None] = []

        def work(account: Account) -> None:
            with self._stack.client() as api:
                while not over:
                    self._order(api, account)

        with ThreadPoolExecutor(len(self._accounts)) as threads:
            working = [threads.submit(work, account) for account in self._accounts]
            try:
                yield
            finally:
                over.append(None)
                for each in working:
                    each.result()

    def _order(self, api: httpx.Client, account: Account) -> str:
        lines = [{"product_id": product, "quantity": 1} for product in self._products]
        headers = {**account.headers, "Prefer": "wait=30", "Idempotency-Key": people.fresh_email()}
        answer = api.post("/api/v1/orders", json={"lines": lines}, headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (201, "confirmed"), answer.text
        return answer.headers["X-Trace-Id"]


def children(trace: Sequence[Span], parent: Span) -> list[Span]:
    """The spans right below one."""
    return [span for span in trace if span.parent_id == parent.span_id]


def drawn(trace: Sequence[Span], *, below: Span | None = None) -> str:
    """A trace, or what is below one of its spans, as lines: service and name of each span, indented below its parent;
    siblings by name. Statements of databases are left out, and what is below calls."""
    known = {span.span_id for span in trace}
    tops = [span for span in trace if span.parent_id not in known] if below is None else [below]
    lines: list[str] = []

    def draw(span: Span, depth: int) -> None:
        lines.append(f"{'  ' * depth}{span.service}: {span.name}")
        if CALLED in span.attributes:
            return
        kept = [child for child in children(trace, span) if STATEMENT not in child.attributes]
        for child in sorted(kept, key=lambda child: (child.name, child.service)):
            draw(child, depth + 1)

    for span in tops:
        draw(span, 0)
    return "\n".join(lines)
