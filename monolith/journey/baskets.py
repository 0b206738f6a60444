"""Baskets become orders that were paid and shipped; each product in a basket becomes a line."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from journey.source import Journey

SHIPPED_AFTER = timedelta(days=1)


class Baskets:
    """The tables of the orders app. A household's basket keeps its number as the order's id.

    The data set knows what was paid for a line, and the shop knows what a piece costs. So the unit price is rounded to
    cents, and the total of an order is the sum of its lines. It differs from the till's by a few cents.
    """

    def __init__(self, journey: Journey, products: pa.Table) -> None:
        """``products`` as they are loaded into the shop."""
        self._sales = journey.sales
        self._products = products

    def orders(self) -> pa.Table:
        return pa.table(
            {
                "id": self._basket["id"],
                "user_id": self._basket["user_id"],
                "status": self._same("shipped"),
                "total": self._basket["total"],
                "currency": self._same("USD"),
                "ship_to": self._same(""),
                "request_digest": self._same(""),
                "confirmation_sent_at": self._basket["bought_at"],
                "created_at": self._basket["bought_at"],
                "updated_at": self._shipped_at,
            }
        )

    def lines(self) -> pa.Table:
        sales = self._sales
        place = pc.index_in(sales["product_id"], self._products["id"])
        unknown = pc.binary_join_element_wise("Product", sales["product_id"].cast(pa.string()), " ")
        return pa.table(
            {
                "id": _numbers(len(sales)),
                "order_id": sales["basket_id"],
                # A few products that were sold are in no list of products.
                "product_id": self._products["id"].take(place),
                "name": pc.coalesce(self._products["name"].take(place), unknown),
                "quantity": sales["quantity"],
                "unit_price": pc.divide(pc.cast(self._unit_cents, pa.float64()), 100),
            }
        )

    def history(self) -> pa.Table:
        """Three changes per order: all first changes, then all second ones, then all third ones."""
        bought_at = self._basket["bought_at"]
        changes = (("pending", bought_at), ("confirmed", bought_at), ("shipped", self._shipped_at))
        tables = [
            pa.table(
                {
                    "order_id": self._basket["id"],
                    "status": self._same(status),
                    "note": self._same(""),
                    "at": moments,
                }
            )
            for status, moments in changes
        ]
        history = pa.concat_tables(tables)
        return history.add_column(0, "id", _numbers(len(history)))

    def payments(self) -> pa.Table:
        reference = pc.binary_join_element_wise("pay_journey", self._basket["id"].cast(pa.string()), "_")
        return pa.table(
            {
                "id": _numbers(len(self._basket)),
                "order_id": self._basket["id"],
                "state": self._same("authorized"),
                "amount": self._basket["total"],
                "reference": reference,
                "reason": self._same(""),
                "created_at": self._basket["bought_at"],
            }
        )

    def shipments(self) -> pa.Table:
        number = pc.binary_join_element_wise("SB", self._basket["id"].cast(pa.string()), "")
        return pa.table(
            {
                "id": _numbers(len(self._basket)),
                "order_id": self._basket["id"],
                "tracking_number": number,
                "shipped_at": self._shipped_at,
            }
        )

    @cached_property
    def _unit_cents(self) -> pa.ChunkedArray:
        paid = pc.divide(self._sales["sales_value"], pc.cast(self._sales["quantity"], pa.float64()))
        return pc.cast(pc.round(pc.multiply(paid, 100)), pa.int64())

    @cached_property
    def _basket(self) -> pa.Table:
        moments = pc.cast(self._sales["transaction_timestamp"], pa.timestamp("us", "UTC"))
        rows = pa.table(
            {
                "id": self._sales["basket_id"],
                "user_id": self._sales["household_id"],
                "bought_at": moments,
                "cents": pc.multiply(self._unit_cents, self._sales["quantity"]),
            }
        )
        sums = rows.group_by("id").aggregate([("user_id", "min"), ("bought_at", "min"), ("cents", "sum")])
        sums = sums.sort_by("id").combine_chunks()
        total = pc.divide(pc.cast(sums["cents_sum"], pa.float64()), 100)
        columns = [sums["id"], sums["user_id_min"], sums["bought_at_min"], total]
        return pa.table(columns, names=["id", "user_id", "bought_at", "total"])

    @cached_property
    def _shipped_at(self) -> pa.ChunkedArray:
        return pc.add(self._basket["bought_at"], pa.scalar(SHIPPED_AFTER))

    def _same(self, value: str) -> pa.Array:
        return pa.repeat(pa.scalar(value), len(self._basket))


def _numbers(count: int) -> pa.Array:
    return pa.array(range(1, count + 1), pa.int64())
