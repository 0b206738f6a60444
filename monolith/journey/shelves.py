"""Categories and products of the shop, from the departments and products of the data set."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from django.utils.text import slugify

from journey.source import Journey

OPENED = datetime(2016, 12, 31, tzinfo=UTC)
CLOSED = datetime(2018, 1, 2, tzinfo=UTC)
SPARE_STOCK = 100
LOWEST_PRICE = 0.05
ORPHAN_PRICE = 1.99  # of a product that nobody bought, in a category in which nothing was bought


class Shelves:
    """The categories: departments, and below each department its product categories, as the data set calls them."""

    def __init__(self, journey: Journey) -> None:
        self._products = journey.products
        self._ids: dict[tuple[str, str | None], int] = {}
        pairs = journey.products.select(["department", "product_category"])
        self._department = pairs["department"].to_pylist()
        self._shelf = pairs["product_category"].to_pylist()
        for department in sorted(set(self._department)):
            self._ids[department, None] = len(self._ids) + 1
        for pair in sorted({pair for pair in zip(self._department, self._shelf, strict=True) if pair[1]}):
            self._ids[pair] = len(self._ids) + 1

    def categories(self) -> pa.Table:
        rows = [
            {
                "id": number,
                "name": (shelf or department).title(),
                # The number makes the slugs of FRUIT/NUTS and FRUIT-NUTS differ.
                "slug": slugify(f"{department} {shelf or ''}")[:100] + (f"-{number}" if shelf else ""),
                "parent_id": self._ids[department, None] if shelf else None,
            }
            for (department, shelf), number in self._ids.items()
        ]
        return pa.Table.from_pylist(rows)

    def of_products(self) -> pa.Array:
        """The id of the category of each product, in the order of the products."""
        return pa.array([self._ids[pair] for pair in zip(self._department, self._shelf, strict=True)], pa.int64())


def products(journey: Journey) -> pa.Table:
    source = journey.products
    number = source["product_id"]
    kind = pc.coalesce(source["product_type"], source["product_category"])
    named = pc.utf8_title(pc.fill_null(kind, ""))
    unnamed = pc.binary_join_element_wise("Product", number.cast(pa.string()), " ")
    category = Shelves(journey).of_products()
    sold, price = _sold(journey, category)
    return pa.table(
        {
            "id": number,
            "name": pc.if_else(pc.equal(named, ""), unnamed, named),
            "category_id": category,
            "brand": source["brand"],
            "size": pc.fill_null(source["package_size"], ""),
            "price": price,
            "currency": _constant("USD", source),
            "stock": pc.add(sold, SPARE_STOCK),
            "is_active": _constant(True, source),
            "created_at": _constant(OPENED, source),
            "updated_at": _constant(CLOSED, source),
        }
    )


def _sold(journey: Journey, category: pa.Array) -> tuple[pa.Array, pa.Array]:
    """For each product: the pieces sold in the year, and the price before the customer's discounts."""
    sales = journey.sales
    paid = pc.add(pc.add(sales["sales_value"], sales["retail_disc"]), sales["coupon_match_disc"])
    per_product = _mean_price(sales["product_id"], paid, sales["quantity"])
    place = pc.index_in(journey.products["product_id"], per_product["key"])
    pieces = pc.fill_null(per_product["pieces"].take(place), 0)
    price = per_product["price"].take(place)

    of_sale = category.take(pc.index_in(sales["product_id"], journey.products["product_id"]))
    per_category = _mean_price(of_sale, paid, sales["quantity"])
    usual = per_category["price"].take(pc.index_in(category, per_category["key"]))
    price = pc.fill_null(pc.coalesce(price, usual), ORPHAN_PRICE)
    return pieces, pc.round(pc.max_element_wise(price, LOWEST_PRICE), 2)


def _mean_price(key: pa.Array, paid: pa.Array, pieces: pa.Array) -> pa.Table:
    sums = pa.table({"key": key, "paid": paid, "pieces": pieces}).group_by("key")
    table = sums.aggregate([("paid", "sum"), ("pieces", "sum")]).combine_chunks()
    price = pc.divide(table["paid_sum"], pc.cast(table["pieces_sum"], pa.float64()))
    return pa.table({"key": table["key"], "pieces": table["pieces_sum"], "price": price})


def _constant(value: object, rows: pa.Table) -> pa.Array:
    return pa.repeat(pa.scalar(value), len(rows))
