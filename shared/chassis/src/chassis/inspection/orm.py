"""What Django's models, managers and relations do when they are called: what is written, and what comes back."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
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
# These give other rows of the same, of which nothing is read, or nothing at all.
_UNREAD = {"none", "using", "db_manager", "as_manager", "deconstruct", "check"}
# What names rows that are fetched along, and not only looked at for a condition.
_ALONG = {"select_related", "prefetch_related"}
# Expressions that are about other rows than those of the query that they stand in.
_APART = {"Subquery", "Exists", "OuterRef"}
# A statement that writes, and the table: INSERT INTO "a"."b", UPDATE ONLY a, DELETE FROM a, TRUNCATE a, COPY a FROM.
_NAME = r'((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)'
_STATEMENTS = re.compile(
    rf"\b(?:insert\s+into|update(?:\s+only)?|delete\s+from(?:\s+only)?|truncate(?:\s+table)?(?:\s+only)?|merge\s+into)"
    rf"\s+{_NAME}|\bcopy\s+{_NAME}\s*(?:\([^)]*\)\s*)?from\b",
    re.IGNORECASE,
)
# What a statement reads: FROM a, JOIN "a"."b".
_SOURCES = re.compile(rf"\b(?:from|join)\s+(?:only\s+)?{_NAME}", re.IGNORECASE)


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


def reads(rows: Rows, name: str) -> list[type[Model]]:
    """The models whose tables a method of a manager or query set reads: at once, or when its result is used."""
    plain = name.removeprefix("a")
    if writes(rows, name) or name in _UNREAD or plain in RELATION_WRITES or name.startswith("_"):
        return []
    return [rows.model, *([rows.through] if rows.through else [])]


def fetched(raw: object) -> list[type[Model]]:
    """The model of which a row's attribute fetches the one row that it leads to."""
    model: Any = None
    if isinstance(raw, ForwardManyToOneDescriptor):
        model = raw.field.remote_field.model
    elif isinstance(raw, ReverseOneToOneDescriptor):
        model = raw.related.related_model
    return [model] if isinstance(model, type) and issubclass(model, Model) else []


def named_in(model: type[Model], name: str, node: ast.Call) -> Iterator[type[Model]]:
    """The other models whose tables are joined or fetched because of the names in a call on the model's rows."""
    along = name in _ALONG
    for word in node.keywords:
        if word.arg is not None and name not in ("annotate", "alias", "aggregate", "create", "update"):
            yield from joined(model, word.arg, whole=False)
        for path in _paths(word.value):
            yield from joined(model, path, whole=along)
    for argument in node.args:
        for path in _paths(argument, bare=True):
            yield from joined(model, path, whole=along)


def _paths(node: ast.expr, *, bare: bool = False) -> Iterator[str]:
    """Texts and keywords that may be lookups: those of ``Q``, ``F``, ``Count`` and the like, and bare ones."""
    match node:
        case ast.Constant(value=str() as text) if bare:
            yield text
        case ast.Starred(value=value) | ast.UnaryOp(operand=value):
            yield from _paths(value, bare=bare)
        case ast.BinOp(left=left, right=right):
            yield from _paths(left)
            yield from _paths(right)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from _paths(part, bare=bare)
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called[:1].isupper():
            if called in _APART:
                return
            for word in node.keywords:
                if called == "Q" and word.arg is not None:
                    yield word.arg
                yield from _paths(word.value)
            for argument in node.args:
                yield from _paths(argument, bare=called not in ("Value", "Q"))


def joined(model: type[Model], path: str, *, whole: bool) -> list[type[Model]]:
    """The models that a lookup such as ``loan__reader__name`` joins, from the model onwards.

    A key that stands in the row before is no join, so the last model is among them only if something else of it is
    asked for, or it is fetched as a ``whole``.
    """
    found: list[type[Model]] = []
    by_key: Any = None
    key: Any = None
    here: Any = model
    for part in path.lstrip("-+^=@").split(LOOKUP_SEP):
        field = _field(here, part)
        if field is None:
            break
        if by_key is not None and field is not key:
            found.append(by_key)
        by_key = None
        if not field.is_relation or field.related_model is None:
            break
        here = field.related_model
        if field.many_to_many:
            through = getattr(field, "through", None) or getattr(field.remote_field, "through", None)
            found += [through] if through is not None else []
            by_key, key = here, here._meta.pk
        elif field.one_to_many or (field.one_to_one and field.auto_created and not field.concrete):
            found.append(here)
        else:
            by_key, key = here, field.target_field
    return [*found, *([by_key] if whole and by_key is not None else [])]


def _field(model: Any, name: str) -> Any:
    """The field or relation of this name, by which queries know it or rows do."""
    if name == "pk":
        return model._meta.pk
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return next((one for one in model._meta.related_objects if one.get_accessor_name() == name), None)


def read_tables(sql: str) -> Iterator[str]:
    """The tables that the text's statements read, as they are spelled there; none that they write."""
    written = set(written_tables(sql))
    for found in _SOURCES.finditer(sql):
        if (name := found[1].replace('"', "")) not in written:
            yield name


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
