"""Paths of the products interface."""

from __future__ import annotations

from django.urls import path

from products import api

urlpatterns = [
    path("api/v1/categories", api.CategoriesApi.as_view(), name="categories"),
    path("api/v1/products", api.ProductsApi.as_view(), name="products"),
    path("api/v1/products/<int:pk>", api.ProductApi.as_view(), name="product"),
    path("api/v1/products/<int:pk>/stock", api.StockApi.as_view(), name="stock"),
    path("internal/products", api.OffersApi.as_view(), name="offers"),
]
