"""A user who logged in before a switch stays logged in after it, in both directions."""

from __future__ import annotations

from tests.faults.customers import Customer
from tests.faults.shop import MONOLITH, SERVICE, Shop


def test_tokens_stay_valid_through_a_switch_and_back(shop: Shop) -> None:
    shop.owned_by(MONOLITH)
    with shop.customer() as here:
        shop.owned_by(SERVICE)
        assert_opens(shop, here)
        with shop.customer() as there:
            shop.owned_by(MONOLITH)
            assert_opens(shop, here)
            assert_opens(shop, there)


def assert_opens(shop: Shop, customer: Customer) -> None:
    """The tokens of old read, write, order, and are exchanged for new ones."""
    customer.rename("Ada Token")
    assert customer.order(shop.some_product())["status"] == "confirmed"
    answer = customer.client.post("/api/v1/auth/refresh", json={"refresh": customer.refresh})
    assert answer.status_code == 200, answer.text
    profile = customer.client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {answer.json()['access']}"})
    assert profile.json()["email"] == customer.email
