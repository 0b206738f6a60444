"""What Django's models, managers and relations do when they are called: what is written, and what comes back."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.fields.related_descriptors import (
    ForwardManyToOneDescriptor,
    ManyToManyDescriptor,
    ReverseManyToOneDescriptor,
    ReverseOneToOneDescriptor,
)
from django.db.models.manager import BaseManager

from chassis.inspection.values import Of, Rows, Several, Values

WRITES = {
    "create",
    "bulk_create",
    "get_or_create",
    "update_or_create",
    "bulk_update",
    "update",
    "delete",
    "_raw_delete",
}
RELATION_WRITES = {"add", "remove", "set", "clear"}
ROW_WRITES = {"save", "delete", "save_base"}
# On an object of an unknown type, these are the writes that hardly anything else than a model has.
TELLING = {"save", "bulk_create", "get_or_create", "update_or_create", "bulk_update"}

_ONE = {"get", "first", "last", "latest", "earliest", "create", "aget", "afirst", "alast", "acreate"}
_PAIR = {"get_or_create", "update_or_create", "aget_or_create", "aupdate_or_create"}
_MANY = {"bulk_create", "in_bulk", "iterator", "aiterator", "raw"}
_NONE = {"values", "values_list", "count", "exists", "aggregate", "dates", "datetimes", "explain", "update", "delete"}
# A statement that writes, and the table: INSERT INTO "a"."b", UPDATE ONLY a, DELETE FROM a, TRUNCATE a, COPY a FROM.
_NAME = r'((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)'
_STATEMENTS = re.compile(
    rf"\b(?:insert\s+into|update(?:\s+only)?|delete\s+from(?:\s+only)?|truncate(?:\s+table)?(?:\s+only)?|merge\s+into)"
    rf"\s+{_NAME}|\bcopy\s+{_NAME}\s*(?:\([^)]*\)\s*)?from\b",
    re.IGNORECASE,
)


def tables_of(model: type[Model]) -> list[str]:
    """The tables that a row of the model has a part in."""
    concrete = model._meta.concrete_model or model
    return [one._meta.db_table for one in (concrete, *concrete._meta.get_parent_list())]


def rows_of(manager: BaseManager[Any] | QuerySet[Any]) -> Rows | None:
    """A manager or query set of the running project."""
    model = getattr(manager, "model", None)
    return None if model is None else Rows(model, manager=type(manager))


def attribute(model: type[Model], name: str, raw: object) -> Values | None:
    """What a row's attribute leads to where it is a relation; None where it is something else."""
    if isinstance(raw, ForwardManyToOneDescriptor):
        return _row(raw.field.remote_field.model)
    if isinstance(raw, ReverseOneToOneDescriptor):
        return _row(raw.related.related_model)
    if isinstance(raw, ManyToManyDescriptor):
        other = raw.rel.related_model if raw.reverse else raw.rel.model
        return _related(other, through=raw.rel.through)
    if isinstance(raw, ReverseManyToOneDescriptor):
        # A generic relation cannot be imported where content types are not installed.
        generic = type(raw).__name__ == "ReverseGenericManyToOneDescriptor"
        return _related(raw.rel.model if generic else raw.rel.related_model)
    return None


def writes(rows: Rows, name: str) -> list[type[Model]]:
    """The models whose tables a method of a manager or query set writes."""
    name = name.removeprefix("a") if name.removeprefix("a") in WRITES | RELATION_WRITES else name
    if rows.related and name in RELATION_WRITES:
        return [rows.through or rows.model]
    if name not in WRITES:
        return []
    return [rows.model, rows.through] if rows.through and "create" in name else [rows.model]


def result(rows: Rows, name: str) -> Values:
    """What a method of a manager or query set gives back."""
    row: Values = (Of(rows.model, under=rows.under),)
    if name in _ONE:
        return row
    if name in _PAIR:
        return (Several((row, ())),)
    if name in _MANY:
        return (Several((row,)),)
    return () if name in _NONE or name.removeprefix("a") in _NONE else (rows,)


def method(rows: Rows, name: str) -> tuple[Any, type] | None:
    """A method that is not Django's own, of the rows' manager or query set, with the class that has it."""
    for cls in _classes(rows):
        for each in cls.__mro__:
            raw = vars(each).get(name)
            if raw is None:
                continue
            function = inspect.unwrap(raw) if callable(raw) else raw
            if getattr(function, "__module__", "").startswith("django.db."):
                break
            return raw, each
    return None


def written_tables(sql: str) -> Iterator[str]:
    """The tables that the text's statements write, as they are spelled there."""
    for found in _STATEMENTS.finditer(sql):
        yield (found[1] or found[2]).replace('"', "")


def _classes(rows: Rows) -> Iterator[type]:
    if rows.manager is not None:
        yield rows.manager
        if issubclass(rows.manager, BaseManager):
            yield from _query_set(rows.manager)
    if rows.manager is None or rows.related:
        default = type(rows.model._default_manager)
        yield default
        yield from _query_set(default)


def _query_set(manager: type) -> Iterator[type]:
    queryset = getattr(manager, "_queryset_class", None)
    if isinstance(queryset, type):
        yield queryset


def _row(model: object) -> Values:
    return (Of(model),) if isinstance(model, type) and issubclass(model, Model) else ()


def _related(model: object, through: Any = None) -> Values:
    if not (isinstance(model, type) and issubclass(model, Model)):
        return ()
    return (Rows(model, manager=None, through=through, related=True),)


def is_rows(thing: object) -> bool:
    """Whether it is a manager or a query set."""
    return isinstance(thing, BaseManager | QuerySet)
