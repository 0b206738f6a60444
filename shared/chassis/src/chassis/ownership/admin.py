"""The admin of models that may have moved: they can be read everywhere, and written only where they are owned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver

from chassis import settings
from chassis.ownership import owners

# Django's own views of a ModelAdmin ask the permissions below.
ASKING = {"changelist_view", "add_view", "change_view", "delete_view", "history_view"}
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}


class OwnedAdmin:
    """Mixin for a ``ModelAdmin``: read-only while another side owns ``capability``.

    Views that a project or a package adds in ``get_urls`` ask no permission that is known here. While another side is
    the owner, they answer only methods that change nothing by HTTP's rules; those that ``reading_views`` names answer
    the others, too.
    """

    capability: str
    # The ends of the names of added URLs whose POST only reads. That of django-import-export writes a file.
    reading_views: Collection[str] = ("_export",)

    @property
    def urls(self) -> list[URLPattern | URLResolver]:
        """The views of ``get_urls``, all of them guarded, whoever has added them."""
        return list(self._guarded(super().urls))  # type: ignore[misc]

    def _guarded(self, patterns: Iterable[Any]) -> Iterable[URLPattern | URLResolver]:
        for one in patterns:
            if isinstance(one, URLResolver):
                inner = list(self._guarded(one.url_patterns))
                yield URLResolver(one.pattern, inner, one.default_kwargs, one.app_name, one.namespace)
            elif self.asks_by_itself(one):
                yield one
            else:
                yield URLPattern(one.pattern, self._guard(one.callback), one.default_args, one.name)

    def asks_by_itself(self, pattern: URLPattern) -> bool:
        """Whether a view asks the permissions of this class, or only reads."""
        view = getattr(pattern.callback, "__wrapped__", pattern.callback)
        own = getattr(view, "__self__", None) is self and view.__name__ in ASKING
        return own or (pattern.name or "").endswith(tuple(self.reading_views))

    def _guard(self, view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guard(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.method not in SAFE and not owners.is_open(self.capability):
                raise PermissionDenied(f"{self.capability} is owned elsewhere: do this in the admin of its owner")
            return view(request, *args, **kwargs)

        return guard

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


def own(site: Any) -> None:
    """Mixes `OwnedAdmin` into the admins of the models that ``CHASSIS_OWNED_ADMINS`` names, those that are registered
    and those that will be.

    Raises ImproperlyConfigured: the setting is no dict of lists.
    """
    settings.owned_admins()
    for model, admin in list(site._registry.items()):
        _own(model, admin)
    register = site.register

    @wraps(register)
    def registering(models: Any, *args: Any, **options: Any) -> None:
        register(models, *args, **options)
        for model in models if isinstance(models, Iterable) else [models]:
            if model in site._registry:
                _own(model, site._registry[model])

    site.register = registering


def _own(model: Any, admin: Any) -> None:
    cls, capability = type(admin), _capability_of(model)
    if capability is None or isinstance(admin, OwnedAdmin):
        return
    content = {"capability": capability, "__module__": cls.__module__, "__doc__": cls.__doc__}
    admin.__class__ = type(cls.__name__, (OwnedAdmin, cls), content)


def _capability_of(model: Any) -> str | None:
    label, app = model._meta.label.lower(), model._meta.app_label.lower()
    for capability, names in settings.owned_admins().items():
        if {label, app} & {name.lower() for name in names}:
            return capability
    return None
