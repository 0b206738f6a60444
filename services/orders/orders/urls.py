"""Paths of the orders interface."""

from __future__ import annotations

from django.urls import path

from orders import api

urlpatterns = [
    path("api/v1/orders", api.OrdersApi.as_view(), name="orders"),
    path("api/v1/orders/<int:pk>", api.OrderApi.as_view(), name="order"),
    path("api/v1/orders/<int:pk>/cancel", api.CancellationApi.as_view(), name="cancellation"),
]
