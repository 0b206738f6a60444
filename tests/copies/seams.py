"""Where an app of the monolith and its copy in the service are meant to differ, and why. All else is equal.

A file is named as APP/FILE. Give a file's reason here first; then ``make seams`` records its lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# These differ in some lines, which RECORD holds; every other line of them is equal.
IN_LINES: Mapping[str, str] = {
    "products/models.py": "Who edited a product is a number: the accounts are another service's.",
    "products/migrations/0002_catalogue.py": "The same of its columns.",
    "products/services.py": "The caller is known by a token, and has no account here; there is no admin that stores.",
    "products/selectors.py": "Only the monolith's orders look for products in its table.",
    "orders/models.py": "Customers and products are numbers: their tables are other services'.",
    "orders/migrations/0001_initial.py": "The same of their columns.",
    "orders/admin.py": "A customer is shown as a number, for there is no account to show.",
    "orders/api.py": "The monolith awaits a product's row; the service keeps out who has left, as a token outlives it.",
}

# These do the same in ways of their own: people who change one look at the other.
THROUGHOUT: Mapping[str, str] = {
    "orders/customers.py": "The monolith reads users from its table; the service asks over HTTP.",
    "orders/shelves.py": "The monolith can have the stock in its own database; for the service it is elsewhere.",
}

# These are on one side only.
ALONE: Mapping[str, str] = {
    "products/admin.py": "The products service has no admin.",
}

RECORD = Path(__file__).with_name("seams.diff")
