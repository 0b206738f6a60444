"""The admin of products."""

from __future__ import annotations

import pytest

from products.models import Product

PAGES = ("product/", "product/?q=milk", "product/add/", "category/", "category/add/")


@pytest.fixture
def admin(client, superuser):
    client.force_login(superuser)
    return client


@pytest.mark.parametrize("path", PAGES)
def test_pages_open(admin, product, path):
    assert admin.get(f"/admin/products/{path}").status_code == 200


def test_a_product_is_changed_through_the_services(admin, superuser, product):
    form = {"name": "Half Milk", "category": product.category_id, "brand": "", "size": "", "price": "2.75"}
    form |= {"currency": "USD", "is_active": "on", "stock": "99"}
    for inline in ("price_changes", "stock_movements"):
        form |= {f"{inline}-TOTAL_FORMS": "0", f"{inline}-INITIAL_FORMS": "0"}

    answer = admin.post(f"/admin/products/product/{product.pk}/change/", form)

    assert answer.status_code == 302, answer.context["errors"]
    changed = Product.objects.get(pk=product.pk)
    assert (changed.name, changed.stock, changed.edited_by) == ("Half Milk", 10, superuser)
    assert changed.price_changes.get().changed_by == superuser
