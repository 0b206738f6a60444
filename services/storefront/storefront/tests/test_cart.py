"""The rules of a cart."""

from __future__ import annotations

import pytest

from storefront.cart import MOST_PIECES, MOST_PRODUCTS, Cart, FullError


def test_more_of_a_product_are_added_up_to_a_limit() -> None:
    cart = Cart().with_more(7, 2).with_more(7, 1)

    assert cart.lines == {7: 3}
    assert cart.with_more(7, 1000).lines == {7: MOST_PIECES}


def test_none_of_a_product_takes_it_out() -> None:
    assert Cart({7: 2, 8: 1}).with_pieces(7, 0).lines == {8: 1}


def test_a_full_cart_takes_no_further_product_but_more_of_the_same() -> None:
    full = Cart(dict.fromkeys(range(MOST_PRODUCTS), 1))

    with pytest.raises(FullError):
        full.with_more(1000, 1)
    assert full.with_more(0, 1).lines[0] == 2


def test_the_key_changes_with_the_content_and_not_otherwise() -> None:
    cart = Cart({7: 2})

    assert cart.with_pieces(7, 2).key == cart.key
    assert cart.with_pieces(7, 3).key != cart.key


def test_an_ordered_cart_is_empty_and_knows_its_order_by_the_old_key() -> None:
    cart = Cart({7: 2})

    after = cart.after_order(41)

    assert not after.lines
    assert after.order_of(cart.key) == 41
    assert after.order_of(after.key) is None


def test_what_follows_an_order_still_knows_it() -> None:
    cart = Cart({7: 2})

    assert cart.after_order(41).with_more(8, 1).order_of(cart.key) == 41


def test_a_rejected_cart_is_ordered_under_another_key() -> None:
    cart = Cart({7: 2})

    assert cart.after_rejection().lines == cart.lines
    assert cart.after_rejection().key != cart.key


@pytest.mark.parametrize("cart", [Cart(), Cart({7: 2, 9: 1}), Cart({7: 2}).after_order(41)])
def test_a_cart_is_the_same_after_it_was_packed(cart: Cart) -> None:
    assert Cart.unpacked(cart.packed()) == cart


@pytest.mark.parametrize(
    "packed", [{}, {"k": "x"}, {"k": "x", "l": [7]}, {"k": "x", "l": [["a", 1]]}, {"k": 1, "l": 2}]
)
def test_what_is_no_cart_is_refused(packed: dict) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Cart.unpacked(packed)
