"""What points at a row that is gone, and what becomes of it: first by the models, then by the database's constraints.

This is what a deletion here would have done: Django's collector runs before the database's own actions. It finds rows
by the column that they point at, whether the database has a constraint or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector, RestrictedError
from django.db.models.fields.related import ForeignObject

from chassis.references import constraints
from chassis.references.orphans import Orphan, Place, ReturnedError, await_writers, is_there

RELATIONS = "SELECT name, to_regclass(name)::oid FROM unnest(%s::text[]) name"
TABLES = "SELECT to_regclass(name)::oid FROM strangler.side, unnest(tables) name WHERE capability = %s OR NOT open"


def forget(orphan: Orphan) -> None:
    """Does to everything that points at the row what the row's deletion here would have done, with cascades and
    signals.

    Tables that another side owns are left alone: their own deletions come by the stream.

    Raises:
        ReturnedError: the row is there, with the same values in every column that something points at.
        BusyError: it may be coming back.
        LookupError: this cannot be cleaned up; the message says why.
    """
    places = orphan.places()
    root = next(place for place in places if place.is_root)
    values = orphan.values(root)
    tables = _Tables(orphan.capability)
    gone = _Gone(places, values)
    related = [one for one in _related(places, tables, values) if gone.of(one.place, one.columns)]
    actions = [one for one in constraints.onto(places) if one.child not in tables.left_alone]
    actions = [one for one in actions if gone.of(one.place, one.parent_columns)]
    generic = [objects for place, column, objects in _generic(places, tables, values) if gone.of(place, (column,))]
    if not (related or actions or generic):
        if gone.seen_again:
            raise ReturnedError
        tables.require_some(root)
        return
    _collect(related, generic, tables, values)
    for action in actions:
        action.run(values)
    await_writers(places)
    gone.look_again()


class _Gone:
    """Whether the row is gone from the places that something points at."""

    def __init__(self, places: Sequence[Place], values: Mapping[str, str | None]) -> None:
        self.seen_again = False
        self._values = values
        self._missing: dict[tuple[Place, tuple[str, ...]], bool] = {}

    def of(self, place: Place, columns: Sequence[str]) -> bool:
        """Whether nothing there has the row's values in these columns.

        Raises:
            LookupError: the queue does not say what they were.
        """
        named = tuple(columns)
        unknown = [column for column in named if column not in self._values]
        if unknown:
            raise LookupError(
                f"something points at {place.name}, {', '.join(unknown)}, which was not queued: name it under "
                "`references` in strangler.toml, clean up by hand, then delete this row"
            )
        if any(self._values[column] is None for column in named):
            return False
        if (place, named) not in self._missing:
            self._missing[place, named] = not is_there(place, {column: self._values[column] for column in named})
            self.seen_again = self.seen_again or not self._missing[place, named]
        return self._missing[place, named]

    def look_again(self) -> None:
        """Raises ReturnedError where a row that was missing is there again."""
        for (place, columns), missing in self._missing.items():
            if missing and is_there(place, {column: self._values[column] for column in columns}):
                raise ReturnedError


class _Tables:
    """Which table each model has on this session's search path, and which tables do not concern the sweep."""

    def __init__(self, capability: str) -> None:
        names = {_quoted(model) for model in apps.get_models(include_auto_created=True)}
        with connection.cursor() as cursor:
            cursor.execute(RELATIONS, (list(names),))
            self._oids: dict[str, int] = {name: oid for name, oid in cursor.fetchall() if oid is not None}
            cursor.execute(TABLES, (capability,))
            self.left_alone = {oid for (oid,) in cursor.fetchall()}

    def of(self, model: type[Model]) -> int | None:
        return self._oids.get(_quoted(model))

    def require_some(self, place: Place) -> None:
        """Raises LookupError where no model has the table: it may be in another place on this search path."""
        if place.oid not in self._oids.values():
            raise LookupError(f"no model has the table {place.name}")


@dataclass(frozen=True, slots=True)
class _Related:
    """A relation of a model whose rows may point at the row."""

    field: ForeignObject[Any, Any]
    place: Place
    columns: tuple[str, ...]

    def rows(self, values: Mapping[str, str | None]) -> QuerySet[Model]:
        """The rows that do point at it."""
        wanted = {
            mine.attname: theirs.to_python(values[str(theirs.column)]) for mine, theirs in self.field.related_fields
        }
        manager: Any = self.field.model._base_manager
        found: QuerySet[Model] = manager.using(connection.alias).filter(**wanted)
        return found


def _related(places: Sequence[Place], tables: _Tables, values: Mapping[str, str | None]) -> Iterator[_Related]:
    """The relations of all models, also where several models share a table."""
    by_oid = {place.oid: place for place in places}
    for model in apps.get_models(include_auto_created=True):
        if tables.of(model) in tables.left_alone:
            continue
        for field in model._meta.local_fields:
            if not isinstance(field, ForeignObject) or _action(field).__name__ == "DO_NOTHING":
                continue
            theirs = [there for _, there in field.related_fields]
            place = by_oid.get(tables.of(theirs[0].model) or 0)
            if place is not None:
                yield _Related(field, place, tuple(str(one.column) for one in theirs))


def _collect(
    related: Sequence[_Related],
    generic: Sequence[QuerySet[Model]],
    tables: _Tables,
    values: Mapping[str, str | None],
) -> None:
    collector = Collector(using=connection.alias)
    for one in related:
        rows = one.rows(values)
        if one.field.remote_field.parent_link:
            collector.collect(_halves(one.field.model, rows), fail_on_restricted=False)
        elif getattr(_action(one.field), "lazy_sub_objs", False) or rows:
            _action(one.field)(collector, one.field, rows, connection.alias)
    for objects in generic:
        collector.collect(objects, fail_on_restricted=False)
    refuse_restricted(collector)
    _leave_alone(collector, lambda model: tables.of(model) in tables.left_alone)
    collector.delete()


def _halves(model: type[Model], rows: QuerySet[Model]) -> list[Model]:
    """Rows of a child model whose parent's row is gone from its own table: an ordinary query would join the two
    tables."""
    names = [field.attname for field in model._meta.local_concrete_fields]
    found = [model(**dict(row)) for row in rows.order_by().values(*names)]
    for half in found:
        _number_parents(half, model)
        half._state.adding = False
    return found


def _number_parents(half: Model, model: type[Model]) -> None:
    for parent, link in model._meta.parents.items():
        if link is not None:
            setattr(half, parent._meta.pk.attname, getattr(half, link.attname))
            _number_parents(half, parent)


def _generic(
    places: Sequence[Place], tables: _Tables, values: Mapping[str, str | None]
) -> Iterator[tuple[Place, str, QuerySet[Model]]]:
    """The rows that point there by content type and key, as far as a model declares that."""
    by_oid = {place.oid: place for place in places}
    for model in apps.get_models():
        key: Any = model._meta.pk
        place = by_oid.get(tables.of(model) or 0)
        if place is None or model._meta.proxy or values.get(key.column) is None:
            continue
        instance = model(**{key.attname: key.to_python(values[key.column])})
        for field in model._meta.private_fields:
            if hasattr(field, "bulk_related_objects"):
                yield place, str(key.column), field.bulk_related_objects([instance], connection.alias)


def refuse_restricted(collector: Collector) -> None:
    """Refuses where rows point there with RESTRICT and no cascade deletes them; the collector checks that only for
    existing rows."""
    held: Any = collector.restricted_objects
    found: Any = collector.data
    for model, instances in found.items():
        collector.clear_restricted_objects_from_set(model, instances)
    for rows in collector.fast_deletes:
        collector.clear_restricted_objects_from_queryset(rows.model, rows)
    left = {one for fields in held.values() for objects in fields.values() for one in objects}
    if left:
        raise RestrictedError("rows point at it by relations that restrict its deletion", left)


def _leave_alone(collector: Collector, left: Callable[[type[Model]], bool]) -> None:
    data: Any = collector.data
    for model in [m for m in data if left(m)]:
        del data[model]
    fast: Any = collector.fast_deletes
    fast[:] = [queryset for queryset in fast if not left(_model_of(queryset))]
    updates: Any = collector.field_updates
    for change, instances in list(updates.items()):
        instances[:] = [i for i in instances if not left(_model_of(i))]
        if not instances:
            del updates[change]


def _model_of(rows: QuerySet[Model] | Model) -> type[Model]:
    return rows.model if isinstance(rows, QuerySet) else type(rows)


def _action(field: ForeignObject[Any, Any]) -> Callable[..., None]:
    relation: Any = field.remote_field
    action: Callable[..., None] = relation.on_delete
    return action


def _quoted(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
