"""The services accept everything that customers and staff have from the time of the monolith."""

from __future__ import annotations

import jwt
import pytest

from tests.contract import purchases
from tests.contract.before import deliver
from tests.contract.people import PASSWORD, fresh_email, log_in, sign_up
from tests.contract.sides import GATEWAY, SERVICE

AFTERWARDS = pytest.mark.parametrize("now", [SERVICE, GATEWAY])


def verified(tokens, keys):
    """The subjects of the tokens."""
    known = jwt.PyJWKSet.from_dict(keys)
    return {
        jwt.decode(
            token, known[jwt.get_unverified_header(token)["kid"]], algorithms=["EdDSA"], options={"verify_aud": False}
        )["sub"]
        for token in tokens
    }


@AFTERWARDS
def test_an_access_token_opens_and_a_refresh_token_refreshes(moved, before, now):
    account = before.account

    with moved.connect(now, "users") as api:
        assert api.get("/api/v1/users/me", headers=account.headers).json()["id"] == account.id
        assert api.post("/api/v1/auth/refresh", json={"refresh": account.refresh}).status_code == 200
        assert log_in(api, account.email, PASSWORD).id == account.id


@AFTERWARDS
def test_the_keys_of_either_side_verify_the_tokens_of_the_other(moved, before, now):
    with moved.connect(now, "users") as api:
        keys = api.get("/.well-known/jwks.json").json()
        account = sign_up(api, fresh_email())

    assert verified([before.account.access, before.account.refresh], keys) == {str(before.account.id)}
    assert verified([account.access, account.refresh], before.keys) == {str(account.id)}


@AFTERWARDS
def test_a_page_is_followed_by_the_same_next_page(moved, before, now):
    with moved.connect(now, "products") as api:
        answer = api.get(before.page)

    assert answer.status_code == 200
    assert answer.json()["results"] == before.second_page
    assert before.second_page


@AFTERWARDS
def test_a_key_gives_the_same_order_and_takes_no_more_stock(moved, before, gateway, shelf, now):
    bargain = before.bargain
    stock = shelf.stock(bargain.product)

    with moved.connect(now, "orders") as api:
        again = purchases.place(api, bargain.account, (bargain.product, 3), key=bargain.key)
        other = purchases.place(api, bargain.account, (bargain.product, 4), key=bargain.key)
        kept = api.get(f"/api/v1/orders/{bargain.order['id']}", headers=bargain.account.headers)

    assert again.status_code == 201
    assert again.json() == kept.json() == bargain.order
    assert other.status_code == 422
    assert shelf.stock(bargain.product) == stock


@AFTERWARDS
def test_a_key_gives_the_same_answer_and_no_second_delivery(moved, before, staff, shelf, now):
    bargain = before.bargain
    stock = shelf.stock(bargain.product)

    with moved.connect(now, "products") as api:
        again = deliver(api, staff, bargain.product, bargain.key)

    assert again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == bargain.delivery
    assert shelf.stock(bargain.product) == stock
