"""Deletions of what stays that reach what moves, and columns that point at rows which each database numbers itself."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.db.models import Field, Model

from chassis.inspection import sources
from chassis.inspection.configuration import Capability
from chassis.inspection.findings import Finding
from chassis.inspection.project import Project, models, moved

# Rows of these are numbered by each database's own `migrate`.
_NUMBERED = {
    ("contenttypes", "ContentType"): "content types",
    ("auth", "Permission"): "permissions",
    ("auth", "Group"): "groups",
    ("sites", "Site"): "sites",
}
_BARE = {"content_type_id": "content types", "contenttype_id": "content types", "site_id": "sites"}
_BARE |= {"group_id": "groups", "permission_id": "permissions"}
_WRITING = {"CASCADE", "SET_NULL", "SET_DEFAULT", "SET", "DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"}


def findings(project: Project) -> Iterator[Finding]:
    """Both sorts."""
    yield from _cascades(project)
    yield from _numbers(project)


def delegates() -> bool:
    """Whether this chassis sends a deletion that reaches a moved table to its owner."""
    return find_spec("chassis.references.sending") is not None


def _cascades(project: Project) -> Iterator[Finding]:
    for model in models():
        for relation in _pointing_at(model):
            child = relation.related_model._meta.concrete_model
            capability = project.capability_of(child)
            if capability is None or capability.holds(model._meta.db_table):
                continue
            done = action(relation)
            if done in _WRITING:
                yield _cascade(project, model, relation.field, done, capability)
        for generic in model._meta.private_fields:
            child = getattr(getattr(generic, "remote_field", None), "model", None)
            if hasattr(generic, "bulk_related_objects") and child is not None:
                capability = project.capability_of(child._meta.concrete_model)
                if capability is not None and not capability.holds(model._meta.db_table):
                    yield _cascade(project, model, generic, "CASCADE", capability)


def _cascade(project: Project, parent: Any, field: Any, done: str, capability: Capability) -> Finding:
    label = f"{field.model._meta.label}.{field.name}"
    above = [other._meta.label for other in _above(parent) if not capability.holds(other._meta.db_table)]
    more = f", and so do those of {', '.join(above[:4])} by cascades" if above else ""
    elsewhere = project.configuration.owner(parent._meta.db_table)
    place = sources.place(field.model) if not field.model._meta.auto_created else label
    told = f"Deletions of {parent._meta.label} reach {capability.name} by {label} ({done}){more}"
    if delegates():
        until = f" until {elsewhere.name} moves, too" if elsewhere else ""
        return Finding(
            "cascade-from-outside", "note", place,
            f"{told}. Deletions of {parent._meta.label} are sent to the owner of {capability.name}{until}.",
            f"move {elsewhere.name} first, and nothing has to be sent" if elsewhere else "nothing to do",
        )  # fmt: skip
    return Finding(
        "cascade-from-outside", "error", place,
        f"{told}. Once {capability.name} is owned elsewhere, each such deletion is refused.",
        f"let {label} be on_delete=DO_NOTHING and let the owner hear of the deletion by a message; or move "
        f"{parent._meta.label} as well, before it",
    )  # fmt: skip


def _pointing_at(model: type[Model]) -> Iterator[Any]:
    """The relations that Django's collector follows when a row of the model is deleted."""
    for relation in model._meta.get_fields(include_hidden=True):
        if relation.auto_created and not relation.concrete and (relation.one_to_one or relation.one_to_many):
            yield relation


def _above(model: type[Model]) -> list[type[Model]]:
    """The models whose deletion deletes rows of this one, nearest first."""
    found: list[type[Model]] = []
    waiting = [model]
    while waiting:
        current = waiting.pop(0)
        for field in current._meta.local_fields:
            remote = field.remote_field
            parent: Any = getattr(remote, "model", None)
            cascades = isinstance(parent, type) and action(remote) in ("CASCADE", "DB_CASCADE")
            if cascades and parent is not model and parent not in found:
                found.append(parent)
                waiting.append(parent)
    return found


def action(relation: Any) -> str:
    """The name of what a relation does on a deletion, such as CASCADE."""
    chosen = getattr(relation, "on_delete", None)
    name = getattr(chosen, "__name__", type(chosen).__name__)
    return "SET" if name == "set_on_delete" else str(name)


def _numbers(project: Project) -> Iterator[Finding]:
    for model, _ in moved(project):
        for field in model._meta.local_fields:
            kind, sure = _numbered(field)
            if kind is None:
                continue
            generic = _generic(model, field)
            place = sources.place(model) if not model._meta.auto_created else model._meta.label
            yield Finding(
                "numbers-differ", "warning", place,
                f"{model._meta.db_table}.{field.column} holds numbers of {kind}"
                f"{f' (for {generic})' if generic else ''}, which each database gives by itself: the same number can "
                f"mean another row in the service.",
                "compare what the numbers mean on both sides before the move (`strangler preflight` does), and make "
                "them equal there, or keep a name instead",
                "certain" if sure else "likely",
            )  # fmt: skip


def _numbered(field: Field[Any, Any]) -> tuple[str | None, bool]:
    remote = getattr(field.remote_field, "model", None)
    if isinstance(remote, type) and issubclass(remote, Model):
        return numbered(remote), True
    whole = field.get_internal_type().endswith("IntegerField")
    return (_BARE.get(str(field.column)), False) if whole else (None, True)


def numbered(model: type[Model]) -> str | None:
    """What the rows of a model are called, if each database numbers them itself."""
    for each in model.__mro__:
        meta = getattr(each, "_meta", None)
        if meta is not None and (kind := _NUMBERED.get((meta.app_label, meta.object_name))):
            return kind
    return None


def _generic(model: type[Model], field: Field[Any, Any]) -> str | None:
    if not apps.is_installed("django.contrib.contenttypes"):
        return None
    for private in model._meta.private_fields:
        if getattr(private, "ct_field", None) == field.name:
            return str(private.name)
    return None
