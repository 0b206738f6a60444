"""Every address of the service."""

from __future__ import annotations

from chassis.rest.answers import handler400, handler403, handler404, handler500
from django.urls import include, path

# Django looks for them here.
__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("", include("products.urls")),
]
