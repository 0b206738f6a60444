"""What is said to products; the sample's are answered alike to the last character, for they were copied."""

from __future__ import annotations

from tests.contract.conversation import Step, anonymous, by_staff
from tests.contract.goods import GOODS

PRODUCTS, CATEGORIES, OFFERS = "/api/v1/products", "/api/v1/categories", "/internal/products"
SAMPLED, PRODUCT, STOCK = f"{PRODUCTS}/{{sampled}}", f"{PRODUCTS}/{{product}}", f"{PRODUCTS}/{{product}}/stock"
UNKNOWN = f"{PRODUCTS}/999999999999"
TWO_WORDS = "white%20BREAD"
KEYED = {"Idempotency-Key": "{key}"}


def listing(query: str) -> Step:
    return anonymous("GET", f"{PRODUCTS}?{query}", exact=True)


def another_page() -> Step:
    return anonymous("GET", "{next}", exact=True)


READING = [
    listing("page_size=3"),
    another_page(),
    another_page(),
    *(listing(f"page_size=3&ordering={order}") for order in ("name", "price", "-price", "id", "updated_at")),
    another_page(),
    listing("page_size=3&ordering=nonsense"),
    *(listing(f"page_size={size}&category=grocery") for size in ("0", "-1", "x", "1000")),
    listing("cursor=nonsense"),
    *(listing(f"page_size=3&search={words}") for words in ("milk", "MILK", TWO_WORDS, "", "%25", "_", "no-such-thing")),
    another_page(),
    listing(f"search={'x' * 201}"),
    listing("search=%00"),
    *(listing(f"page_size=3&category={which}") for which in ("2", "grocery", "0", "no-such", "", "9" * 30, "%C2%B2")),
    listing("page_size=3&category=grocery&search=soup&ordering=-price"),
    another_page(),
    anonymous("HEAD", PRODUCTS),
    anonymous("OPTIONS", PRODUCTS),
    anonymous("PUT", PRODUCTS, {}),
    anonymous("DELETE", PRODUCTS),
    anonymous("GET", PRODUCTS + "/"),
    Step("GET", SAMPLED, exact=True),
    anonymous("GET", SAMPLED, exact=True),
    anonymous("GET", SAMPLED, headers={"Authorization": "Bearer a.b.c"}),
    anonymous("GET", SAMPLED, headers={"Accept": "application/xml"}),
    anonymous("HEAD", SAMPLED),
    anonymous("OPTIONS", SAMPLED),
    anonymous("GET", UNKNOWN),
    anonymous("GET", PRODUCTS + "/x"),
    anonymous("GET", f"{PRODUCTS}/{'9' * 30}"),
    anonymous("GET", CATEGORIES + "?page_size=3", exact=True),
    another_page(),
    anonymous("GET", CATEGORIES + "?page_size=200&ordering=-name", exact=True),
    anonymous("GET", CATEGORIES + "?ordering=id&page_size=5", exact=True),
    anonymous("HEAD", CATEGORIES),
    anonymous("OPTIONS", CATEGORIES),
    by_staff("POST", CATEGORIES, {"name": "New"}),
    anonymous("GET", OFFERS + "?ids={sampled}"),
    Step("GET", OFFERS + "?ids={sampled}"),
    by_staff("GET", OFFERS + "?ids={sampled}"),
]

CREATING = [
    anonymous("POST", PRODUCTS, GOODS),
    Step("POST", PRODUCTS, GOODS),
    by_staff("OPTIONS", PRODUCTS),
    by_staff("POST", PRODUCTS, {}),
    by_staff("POST", PRODUCTS, []),
    by_staff("POST", PRODUCTS, raw=b"{"),
    by_staff("POST", PRODUCTS, raw=b"name=a", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    *(
        by_staff("POST", PRODUCTS, GOODS | wrong)
        for wrong in (
            {"name": "nul \x00 byte"},
            {"name": "x" * 201},
            {"name": None},
            {"price": "-0.01"},
            {"price": "1.234"},
            {"price": "123456789.00"},
            {"price": "NaN"},
            {"currency": "usd"},
            {"currency": "USDX"},
            {"stock": -1},
            {"stock": 10**10},
            {"stock": "many"},
            {"category": 999_999_999},
            {"category": "grocery"},
        )
    ),
    by_staff("POST", PRODUCTS, GOODS | {"stock": 3, "category": 1, "id": 1, "updated_at": "2001-01-01T00:00:00Z"}),
    by_staff("POST", PRODUCTS, GOODS, keeps="product"),
    anonymous("GET", PRODUCT),
]

CHANGING = [
    anonymous("PATCH", PRODUCT, {"price": "1.00"}),
    Step("PATCH", PRODUCT, {"price": "1.00"}),
    by_staff("PATCH", PRODUCT, {}),
    by_staff("PATCH", PRODUCT, {"price": "1.00"}),
    by_staff("PATCH", PRODUCT, {"price": 2, "brand": "", "size": "3 kg", "category": None}),
    by_staff("PATCH", PRODUCT, {"price": "cheap"}),
    by_staff("PATCH", PRODUCT, {"stock": 1000, "is_active": False, "unknown": 1}),
    by_staff("PATCH", UNKNOWN, {"price": "1.00"}),
    by_staff("PUT", PRODUCT, {}),
    by_staff("POST", PRODUCT, {}),
    by_staff("DELETE", PRODUCT),
    by_staff("OPTIONS", PRODUCT),
    anonymous("GET", PRODUCT),
]

COUNTING = [
    anonymous("POST", STOCK, {"delta": 1}),
    Step("POST", STOCK, {"delta": 1}),
    anonymous("GET", STOCK),
    by_staff("GET", STOCK),
    by_staff("OPTIONS", STOCK),
    by_staff("POST", STOCK, {}),
    by_staff("POST", STOCK, {"delta": "many"}),
    by_staff("POST", STOCK, {"delta": 10**10}),
    by_staff("POST", STOCK, {"delta": 5}),
    by_staff("POST", STOCK, {"delta": 0}),
    by_staff("POST", STOCK, {"delta": -6}),
    by_staff("POST", STOCK, {"delta": -6}, headers=KEYED),
    by_staff("POST", STOCK, {"delta": 7}, headers=KEYED),
    by_staff("POST", STOCK, {"delta": 7}, headers=KEYED),
    by_staff("POST", STOCK, {"delta": 8}, headers=KEYED),
    by_staff("POST", STOCK, raw=b'{ "delta" : 7 }', headers=KEYED),
    by_staff("POST", f"{PRODUCTS}/{{scarce}}/stock", {"delta": 7}, headers=KEYED),
    by_staff("POST", STOCK, {"delta": 1}, headers={"Idempotency-Key": ""}),
    by_staff("POST", STOCK, {"delta": 1}, headers={"Idempotency-Key": "k" * 256}),
    Step("POST", STOCK, {"delta": 7}, headers=KEYED),
    by_staff("POST", UNKNOWN + "/stock", {"delta": 1}),
    by_staff("POST", UNKNOWN + "/stock", {"delta": 1}, headers={"Idempotency-Key": "{key}-unknown"}),
    anonymous("GET", PRODUCT),
]

CONVERSATION = [*READING, *CREATING, *CHANGING, *COUNTING]
