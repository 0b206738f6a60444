"""Every address of the shop."""

from __future__ import annotations

from chassis.rest.answers import handler400, handler403, handler404, handler500
from django.contrib import admin
from django.urls import include, path

# Django looks for them here.
__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("users.urls")),
    path("", include("products.urls")),
    path("", include("orders.urls")),
]
