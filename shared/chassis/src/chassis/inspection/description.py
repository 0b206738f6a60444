"""What `strangler init` has to know of a project: its tables, what refers to what, its URLs, and the programs it runs.

Only facts; which of them make a capability is the tool's to say. Nothing connects to a database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Field, Model

from chassis.inspection import chosen, mounted, programs, relations, requests, sources
from chassis.inspection.configuration import plain
from chassis.inspection.project import models

# A tool reads only descriptions of the form that it knows.
FORM = 2
_OFFERED = ("chassis.identity.sessions", "chassis.identity.authtokens", "chassis.identity.standing")


def describe(tell: Callable[[str], None] = lambda what: None) -> dict[str, Any]:
    """The project, ready for JSON. Raises whatever the project's own modules raise when URLs are resolved."""
    unknown: list[str] = []
    tell("models")
    tables = [_table(model) for model in models() if _is_here(model)]
    elsewhere = [model._meta.label for model in models() if not _is_here(model)]
    unknown += [f"{label}: its table is in another database than {DEFAULT_DB_ALIAS}" for label in elsewhere]
    found = [one for model in models() if _is_here(model) for one in _references(model)]
    tell("views")
    return {
        "form": FORM,
        "name": Path.cwd().name,
        "python": "{}.{}".format(*sys.version_info),
        "engine": settings.DATABASES.get(DEFAULT_DB_ALIAS, {}).get("ENGINE", ""),
        "user_table": _user_table(),
        "programs": programs.programs(),
        "schedule": programs.schedule(),
        "apps": [_app(config) for config in apps.get_app_configs()],
        "tables": tables,
        "references": found,
        "requests": list(requests.requests(unknown)),
        "admins": requests.admins(),
        # What this version of the chassis has for a service that is to be written.
        "provides": [name for name in _OFFERED if find_spec(name)],
        "settings_module": str(getattr(settings, "SETTINGS_MODULE", "") or ""),
        "settings": chosen.chosen(),
        "urls": mounted.mounted(),
        "distributions": chosen.distributions(),
        # Where the packages of installed apps lie on this machine, by their top modules.
        "folders": _folders(),
        "not_looked_at": unknown,
    }


def _folders() -> dict[str, str]:
    found = {}
    for config in apps.get_app_configs():
        top = config.name.partition(".")[0]
        file = getattr(sys.modules.get(top), "__file__", None)
        if file and not sources.is_own(str(getattr(config.module, "__file__", None) or config.path)):
            found[top] = str(Path(file).parent)
    return found


def _is_here(model: type[Model]) -> bool:
    return router.db_for_write(model) == DEFAULT_DB_ALIAS


def _user_table() -> str | None:
    try:
        return plain(apps.get_model(settings.AUTH_USER_MODEL)._meta.db_table)
    except (LookupError, ValueError):
        return None


def _app(config: AppConfig) -> dict[str, Any]:
    file = str(getattr(config.module, "__file__", None) or Path(config.path) / "__init__.py")
    cls = type(config)
    return {
        "label": config.label,
        "module": config.name,
        "own": sources.is_own(file),
        "path": sources.shown(str(Path(file).parent)),
        "config": "" if cls is AppConfig else sources.dotted(cls),
    }


def _table(model: type[Model]) -> dict[str, Any]:
    """``joins``: Django made it for a many-to-many relation of that field."""
    parent = model._meta.auto_created
    generic = [field.name for field in model._meta.private_fields if hasattr(field, "ct_field")]
    return {
        "name": plain(model._meta.db_table),
        "app": model._meta.app_label,
        "model": model._meta.label,
        "place": sources.place(parent if isinstance(parent, type) else model),
        "module": (parent if isinstance(parent, type) else model).__module__,
        "joins": isinstance(parent, type),
        "field": _joined_by(model, parent) if isinstance(parent, type) else "",
        "managed": model._meta.managed,
        "generic": generic,
    }


def _references(model: type[Model]) -> Iterator[dict[str, Any]]:
    for field in model._meta.local_fields:
        parent: Any = getattr(field.remote_field, "model", None)
        if not field.column or not isinstance(parent, type) or not issubclass(parent, Model):
            continue
        targets = getattr(field, "target_field", None)
        yield {
            "table": plain(model._meta.db_table),
            "column": field.column,
            "to": plain((parent._meta.concrete_model or parent)._meta.db_table),
            "to_column": getattr(targets, "column", None),
            "constrained": bool(getattr(field, "db_constraint", True)),
            "on_delete": relations.action(field.remote_field),
            "numbers": relations.numbered(parent),
            "field": f"{model._meta.label}.{field.name}",
            "declared": sources.dotted(_declaring(model, field.name)),
            "null": field.null,
            "unique": field.unique,
            "index": bool(getattr(field, "db_index", False)),
            "key": _key(targets) if isinstance(targets, Field) else None,
        }


def _joined_by(model: type[Model], parent: Any) -> str:
    """The field for which Django made the model."""
    fields = parent._meta.local_many_to_many
    return next((f"{parent._meta.label}.{one.name}" for one in fields if one.remote_field.through is model), "")


def _declaring(model: type[Model], name: str) -> type:
    """The class that declares the field: the model, or the farthest abstract one from which it has it."""
    declared: type = model
    for each in model.__mro__[1:]:
        meta = getattr(each, "_meta", None)
        if meta is not None and meta.abstract and any(one.name == name for one in meta.local_fields):
            declared = each
    return declared


def _key(field: Field[Any, Any]) -> dict[str, Any]:
    """The column that is pointed at; ``kind`` is its class, Django's own where it is derived from one of these."""
    name, primary = field.name, field.primary_key
    while field.remote_field is not None and isinstance(field.remote_field.model, type):
        further = getattr(field, "target_field", None)
        if not isinstance(further, Field):
            break
        field = further
    kinds = [each for each in type(field).__mro__ if each.__module__.startswith("django.db.models.fields")]
    return {
        "name": name,
        "kind": (kinds or [type(field)])[0].__name__,
        "primary": primary,
        "max_length": field.max_length,
        "digits": [getattr(field, "max_digits", None), getattr(field, "decimal_places", None)],
    }
