"""Addresses of the storefront's pages."""

from __future__ import annotations

from django.urls import path

from storefront.views import accounts, basket, catalogue, orders

urlpatterns = [
    path("", catalogue.browse, name="browse"),
    path("products/<int:product>", catalogue.product, name="product"),
    path("cart", basket.show, name="cart"),
    path("cart/add/<int:product>", basket.add, name="add"),
    path("cart/pieces/<int:product>", basket.change, name="pieces"),
    path("checkout", basket.check_out, name="check-out"),
    path("register", accounts.register, name="register"),
    path("login", accounts.log_in, name="log-in"),
    path("logout", accounts.log_out, name="log-out"),
    path("orders", orders.history, name="orders"),
    path("orders/<int:order>", orders.order, name="order"),
    path("orders/<int:order>/cancel", orders.cancel, name="cancel"),
]
