"""The admin of models that may have moved: they can be read everywhere, and written only where they are owned."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from chassis.ownership import owners


class OwnedAdmin:
    """Mixin for a ``ModelAdmin``: read-only while another side owns ``capability``."""

    capability: str

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Refused while another side owns the model."""
        return owners.is_open(self.capability) and bool(
            super().has_add_permission(request, *args)  # type: ignore[misc]
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refused while another side owns the model."""
        return owners.is_open(self.capability) and bool(
            super().has_change_permission(request, obj)  # type: ignore[misc]
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refused while another side owns the model."""
        return owners.is_open(self.capability) and bool(
            super().has_delete_permission(request, obj)  # type: ignore[misc]
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A person who may change the model where it is owned may look at it here."""
        return bool(
            super().has_view_permission(request, obj)  # type: ignore[misc]
            or super().has_change_permission(request, obj)  # type: ignore[misc]
        )
