"""Every address of the storefront."""

from __future__ import annotations

from django.urls import include, path

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

# Django looks for them here.
handler400 = "storefront.pages.bad_request"
handler403 = "storefront.pages.forbidden"
handler404 = "storefront.pages.not_found"
handler500 = "storefront.pages.broken"

urlpatterns = [path("", include("storefront.urls"))]
