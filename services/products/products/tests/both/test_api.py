"""The catalogue over HTTP."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from products.models import Category, IdempotencyKey, PriceChange, Product, StockMovement


def names(answer):
    assert answer.status_code == 200, answer.content
    return [product["name"] for product in answer.json()["results"]]


def walk(client, url):
    seen = []
    while url:
        page = client.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    return seen


class TestReading:
    def test_anyone_sees_a_product(self, anonymous, product, category):
        answer = anonymous.get(f"/api/v1/products/{product.pk}")

        assert answer.json() == {
            "id": product.pk,
            "name": "Whole Milk",
            "category": category.pk,
            "brand": "Meadow",
            "size": "1 L",
            "price": "2.50",
            "currency": "USD",
            "stock": 10,
            "updated_at": product.updated_at.isoformat().replace("+00:00", "Z"),
        }

    @pytest.mark.parametrize("pk", [0, 999_999, 10**30])
    def test_an_unknown_product_is_404(self, anonymous, db, pk):
        assert anonymous.get(f"/api/v1/products/{pk}").status_code == 404

    def test_a_withdrawn_product_is_hidden(self, anonymous, product):
        Product.objects.update(is_active=False)

        assert anonymous.get(f"/api/v1/products/{product.pk}").status_code == 404
        assert names(anonymous.get("/api/v1/products")) == []

    @pytest.mark.parametrize("search", ["milk", "WHOLE meadow", "ilk", "meadow"])
    def test_a_search_finds_every_word_in_name_or_brand(self, anonymous, product, new_product, search):
        new_product(name="Sliced Cheese", brand="Hill")

        assert names(anonymous.get("/api/v1/products", {"search": search})) == ["Whole Milk"]

    @pytest.mark.parametrize("search", ["milk cheese", "100%", "\\"])
    def test_a_search_for_what_is_not_there_finds_nothing(self, anonymous, product, search):
        assert names(anonymous.get("/api/v1/products", {"search": search})) == []

    def test_a_search_with_a_null_character_is_refused(self, anonymous, db):
        assert anonymous.get("/api/v1/products?search=%00").status_code == 400

    def test_a_category_is_found_by_id_or_slug_with_its_children(self, anonymous, category, new_product):
        child = Category.objects.create(name="Milk", slug="dairy-milk", parent=category)
        new_product(name="A", category=child)
        new_product(name="B")
        new_product(name="C", category=None)

        for term, expected in ((category.pk, ["A", "B"]), ("dairy", ["A", "B"]), ("dairy-milk", ["A"])):
            assert names(anonymous.get("/api/v1/products", {"category": term})) == expected
        assert names(anonymous.get("/api/v1/products", {"category": "nothing"})) == []

    @pytest.mark.parametrize(
        ("ordering", "expected"),
        [("name", "ABC"), ("-name", "CBA"), ("price", "BCA"), ("-price", "ACB"), ("nonsense", "ABC")],
    )
    def test_the_order_is_the_callers_choice(self, anonymous, new_product, ordering, expected):
        for name, price in (("A", "3.00"), ("B", "1.00"), ("C", "2.00")):
            new_product(name=name, price=Decimal(price))

        assert names(anonymous.get("/api/v1/products", {"ordering": ordering})) == list(expected)

    def test_pages_go_through_more_equal_prices_than_a_cursor_counts(self, anonymous, category):
        Product.objects.bulk_create(Product(name=f"P{number}", price=1, category=category) for number in range(2_100))

        seen = walk(anonymous, "/api/v1/products?ordering=price&page_size=200")

        assert len(seen) == 2_100
        assert len(set(seen)) == 2_100

    def test_categories_are_listed_by_name(self, anonymous, category):
        Category.objects.create(name="Bakery", slug="bakery")

        listed = anonymous.get("/api/v1/categories").json()["results"]

        assert [row["name"] for row in listed] == ["Bakery", "Dairy"]

    def test_a_page_is_one_query_however_long_it_is(self, anonymous, new_product):
        for _ in range(20):
            new_product()

        with CaptureQueriesContext(
            connection,
        ) as queries:
            anonymous.get("/api/v1/products")

        assert len([q for q in queries if "products_product" in q["sql"]]) == 1


class TestUpkeep:
    def test_stock_stays_within_what_its_column_holds(self, staff_api, product):
        Product.objects.filter(pk=product.pk).update(stock=2**63 - 2)

        assert staff_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": 1}).json()["stock"] == 2**63 - 1
        assert staff_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": 1}).status_code == 409
        assert staff_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": 2**40}).status_code == 400

    @pytest.mark.parametrize("delta", [2**63, -(2**63), 10**30, 1e300, "9" * 900, "NaN", True, None, [1]])
    def test_a_delta_that_is_none_is_refused(self, staff_api, product, delta):
        assert staff_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": delta}).status_code == 400

    @pytest.mark.parametrize("price", ["100000000", "1e8", "NaN", "Infinity", "1e999999", 1e300, "-0.01"])
    def test_a_price_that_no_column_holds_is_refused(self, staff_api, product, price):
        assert staff_api.patch(f"/api/v1/products/{product.pk}", {"price": price}).status_code == 400

    def test_staff_add_a_product(self, staff_api, staff, category):
        body = {
            "name": "Tea",
            "category": category.pk,
            "brand": "Leaf",
            "size": "50",
            "price": "4.20",
            "stock": 3,
        }

        answer = staff_api.post("/api/v1/products", body)

        assert answer.status_code == 201
        assert body.items() <= answer.json().items()
        assert Product.objects.values_list("edited_by", flat=True).get(pk=answer.json()["id"]) == staff.pk

    @pytest.mark.parametrize("body", [{"name": "Tea"}, {"name": "Tea", "price": "-1"}, {"price": "1"}])
    def test_an_incomplete_product_is_refused(self, staff_api, body):
        assert staff_api.post("/api/v1/products", body).status_code == 400

    def test_a_new_price_is_written_down_and_leaves_the_stock_alone(self, staff_api, staff, product):
        answer = staff_api.patch(f"/api/v1/products/{product.pk}", {"price": "3.00", "stock": 9_999})

        assert (answer.json()["price"], answer.json()["stock"]) == ("3.00", 10)
        change = PriceChange.objects.values_list("old_price", "new_price", "changed_by").get()
        assert change == (Decimal("2.50"), Decimal("3.00"), staff.pk)

    def test_customers_and_strangers_change_nothing(self, api, anonymous, product):
        url = f"/api/v1/products/{product.pk}"
        for client, expected in ((api, 403), (anonymous, 401)):
            assert client.post("/api/v1/products", {}).status_code == expected
            assert client.patch(url, {}).status_code == expected
            assert client.post(f"{url}/stock", {"delta": 1}).status_code == expected

    def test_stock_goes_up_and_down_by_deltas(self, staff_api, product):
        answers = [staff_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": delta}) for delta in (5, -15)]

        assert [answer.json()["stock"] for answer in answers] == [15, 0]
        assert sum(StockMovement.objects.values_list("delta", flat=True)) == 0

    def test_stock_below_zero_is_a_conflict_and_changes_nothing(self, staff_api, product):
        answer = staff_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": -11})

        assert answer.status_code == 409
        product.refresh_from_db()
        assert product.stock == 10

    @pytest.mark.parametrize("body", [{}, {"delta": "many"}, {"delta": 1.5}, {"delta": 10**12}])
    def test_a_delta_is_a_whole_number(self, staff_api, product, body):
        assert staff_api.post(f"/api/v1/products/{product.pk}/stock", body).status_code == 400


class TestStockByKey:
    """With an Idempotency-Key, which is optional, a delta counts once."""

    def add(self, client, product, delta, key):
        return client.post(f"/api/v1/products/{product.pk}/stock", {"delta": delta}, HTTP_IDEMPOTENCY_KEY=key)

    def test_again_is_answered_alike_and_adds_nothing(self, staff_api, product):
        first, second = (self.add(staff_api, product, 5, "k") for _ in range(2))

        assert (second.status_code, second.content) == (200, first.content)
        assert "Idempotent-Replayed" not in first
        assert second["Idempotent-Replayed"] == "true"
        assert Product.objects.get().stock == 15

    def test_without_a_key_each_counts(self, staff_api, product):
        for _ in range(2):
            staff_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": 5})

        assert Product.objects.get().stock == 20

    def test_for_another_delta_or_product_it_is_422(self, staff_api, product, new_product):
        self.add(staff_api, product, 5, "k")

        answers = [self.add(staff_api, product, 6, "k"), self.add(staff_api, new_product(), 5, "k")]

        assert [answer.status_code for answer in answers] == [422, 422]
        assert Product.objects.get(pk=product.pk).stock == 15

    def test_a_conflict_is_not_remembered(self, staff_api, product):
        refused = self.add(staff_api, product, -11, "k")
        Product.objects.update(stock=11)

        assert (refused.status_code, self.add(staff_api, product, -11, "k").status_code) == (409, 200)

    @pytest.mark.parametrize("key", ["", "x" * 256])
    def test_a_key_that_is_none_is_400(self, staff_api, product, key):
        assert self.add(staff_api, product, 5, key).status_code == 400
        assert Product.objects.get().stock == 10

    def test_customers_and_strangers_are_refused_before_their_keys_are_looked_at(self, api, anonymous, product):
        answers = [self.add(client, product, 5, "k").status_code for client in (api, anonymous)]

        assert answers == [403, 401]
        assert not IdempotencyKey.objects.exists()
