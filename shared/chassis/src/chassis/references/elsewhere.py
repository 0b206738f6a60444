"""Relations from rows that another side owns to rows that are deleted here.

Django's collector would write those rows, and the fence would refuse that; after ``complete --drop`` there is not even
a table. So such relations are hidden from the collector. What it deletes is noted instead, as one `Link` per relation,
and the owner is asked to do what the models say (`chassis.references.sending`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model, Q, QuerySet, deletion

from chassis.ownership import owners
from chassis.ownership.owners import SideState

CASCADE, PROTECT, RESTRICT, SET = "CASCADE", "PROTECT", "RESTRICT", "SET"
REFUSING = (PROTECT, RESTRICT)
TABLE = "SELECT to_regclass(%s) IS NOT NULL"

Key = tuple[str, ...]

_candidates: Any = deletion.get_candidate_relations_to_delete


@dataclass(frozen=True)
class Link:
    """A relation from ``model``, which another side owns, by its columns ``fields``; what becomes of rows there when
    the row that they point at is deleted. ``value`` is that of SET, as text."""

    state: SideState
    model: type[Model]
    fields: tuple[Any, ...]
    action: str
    value: str | None = None

    @property
    def table(self) -> str:
        """The table's name as Django has it, without quotes."""
        return self.model._meta.db_table.replace('"', "")

    @property
    def columns(self) -> list[str]:
        return [str(field.column) for field in self.fields]

    def describe(self) -> str:
        return f"{self.table}.{', '.join(self.columns)}"


def pointing(model: type[Model], fields: Sequence[Any], keys: Sequence[Sequence[str]]) -> QuerySet[Model]:
    """The rows whose ``fields`` have one of these values, which are written as a serializer writes them."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for key in keys:
        values = [field.to_python(text) for field, text in zip(fields, key, strict=True)]
        groups.setdefault(tuple(values[:-1]), []).append(values[-1])
    wanted = Q()
    for first, lasts in groups.items():
        fixed = {field.attname: value for field, value in zip(fields, first, strict=False)}
        wanted |= Q(**fixed, **{f"{fields[-1].attname}__in": lasts})
    found: QuerySet[Model] = model._base_manager.filter(wanted)
    return found


class Elsewhere:
    """The relations that are not followed here, as long as these ``sides`` hold, and what was deleted at their ends."""

    def __init__(self, sides: Mapping[str, SideState], using: str) -> None:
        self.using = using
        self.noted: dict[Link, dict[Key, None]] = {}
        self._closed = [state for state in sides.values() if not state.open]
        self._links: dict[type[Model], list[tuple[Link, Any]]] = {}
        self._tables: dict[str, bool] = {}

    def owner(self, model: type[Model]) -> SideState | None:
        """The state of the capability that has the model's table, where the other side owns it."""
        table = model._meta.db_table
        return next((state for state in self._closed if state.is_elsewhere and state.holds(table)), None)

    def is_closed(self, model: type[Model]) -> bool:
        """Whether the model's table cannot be written here."""
        return any(state.holds(model._meta.db_table) for state in self._closed)

    def hides(self, related: Any) -> bool:
        """Whether the collector must not follow the relation.

        One that protects is followed as far as there is a copy here: only reads are made for it, and forms show what
        they find.
        """
        if self.owner(related.related_model) is None or self.is_closed(related.model):
            return False
        protects = related.field.remote_field.on_delete is deletion.PROTECT
        return not (protects and self.has_table(related.related_model))

    def has_table(self, model: type[Model]) -> bool:
        """Whether there is still a copy of the model's table here."""
        table = model._meta.db_table
        if table not in self._tables:
            connection = connections[self.using]
            connection.ensure_connection()
            with connection.wrap_database_errors, connection.connection.cursor() as cursor:
                cursor.execute(TABLE, [connection.ops.quote_name(table)])
                self._tables[table] = bool(cursor.fetchone()[0])
        return self._tables[table]

    def leads_away(self, model: type[Model]) -> bool:
        """Whether a deletion of the model's rows reaches rows of another side."""
        return any(self._of(one) for one in [model, *_parents(model)])

    def note(self, objects: Sequence[Model]) -> None:
        """Notes objects of one model, which will be deleted here."""
        for link, keys in self._of(type(objects[0])):
            known = self.noted.setdefault(link, {})
            known.update((key, None) for key in map(keys, objects) if key is not None)

    def _of(self, model: type[Model]) -> list[tuple[Link, Any]]:
        """Each link, with the function that tells which key of it points at an object."""
        if model not in self._links:
            self._links[model] = [] if self.is_closed(model) else [*self._related(model), *self._generic(model)]
        return self._links[model]

    def _related(self, model: type[Model]) -> Iterator[tuple[Link, Any]]:
        for related in _candidates(model._meta):
            field, state = related.field, self.owner(related.related_model)
            # The relations of a parent are those of the parent's row, which is collected, too.
            if state is None or related.model._meta.concrete_model is not model._meta.concrete_model:
                continue
            action = _action(field)
            if action is not None:
                mine, theirs = zip(*field.related_fields, strict=True)
                yield Link(state, related.related_model, mine, *action), _key_of(theirs)

    def _generic(self, model: type[Model]) -> Iterator[tuple[Link, Any]]:
        if not apps.is_installed("django.contrib.contenttypes"):
            return
        from django.contrib.contenttypes.fields import GenericRelation
        from django.contrib.contenttypes.models import ContentType

        for field in model._meta.private_fields:
            if not isinstance(field, GenericRelation):
                continue
            child: Any = field.remote_field.model
            state = self.owner(child)
            if state is not None:
                types: Any = ContentType.objects.db_manager(self.using)
                number = types.get_for_model(field.model, for_concrete_model=field.for_concrete_model).pk
                names = (field.content_type_field_name, field.object_id_field_name)
                link = Link(state, child, tuple(child._meta.get_field(name) for name in names), CASCADE)
                yield link, _key_of((model._meta.pk,), str(number))


def now(using: str) -> Elsewhere | None:
    """What another side owns now; None where that is nothing."""
    if connections[using].vendor != "postgresql":
        return None
    sides = owners.recent(using)
    return Elsewhere(sides, using) if any(state.is_elsewhere for state in sides.values()) else None


def _parents(model: type[Model]) -> list[type[Model]]:
    found: list[type[Model]] = []
    for parent in model._meta.parents:
        found += [parent, *_parents(parent)]
    return found


def _key_of(fields: Sequence[Any], *first: str) -> Any:
    def key(instance: Model) -> Key | None:
        if any(field.value_from_object(instance) is None for field in fields):
            return None
        return (*first, *(field.value_to_string(instance) for field in fields))

    return key


def _action(field: Any) -> tuple[str, str | None] | None:
    """What ``on_delete`` says; None where Django does nothing."""
    on_delete = field.remote_field.on_delete
    named = {deletion.CASCADE: CASCADE, deletion.PROTECT: PROTECT, deletion.RESTRICT: RESTRICT}
    if on_delete is deletion.DO_NOTHING or isinstance(on_delete, getattr(deletion, "DatabaseOnDelete", ())):
        return None
    if on_delete in named:
        return named[on_delete], None
    told = _Told()
    try:
        on_delete(told, field, [_some(field.model)], told.using)
    except deletion.ProtectedError:
        return PROTECT, None
    except deletion.RestrictedError:
        return RESTRICT, None
    except AttributeError as error:
        raise ImproperlyConfigured(
            f"{field}: its on_delete does something that cannot be told to the side that owns the table; use one of "
            "Django's, or DO_NOTHING"
        ) from error
    return told.action and (told.action, None if told.value is None else _text(field, told.value))


def _some(model: type[Model]) -> Model:
    """An object that can be hashed, as those that are found can be."""
    options: Any = model._meta
    found = model()
    if len(getattr(options, "pk_fields", [options.pk])) == 1:
        found.pk = 0
    return found


class _Told:
    """Stands in for a collector, to learn what a function for ``on_delete`` does."""

    using = DEFAULT_DB_ALIAS

    def __init__(self) -> None:
        self.action: Any = None
        self.value: Any = None

    def add_field_update(self, field: Field[Any, Any], value: Any, objs: Any) -> None:
        self.action, self.value = SET, value

    def collect(self, *_: Any, **__: Any) -> None:
        self.action = CASCADE

    def add_restricted_objects(self, *_: Any) -> None:
        self.action = RESTRICT

    def add_dependency(self, *_: Any, **__: Any) -> None:
        """Is of no interest here."""


def _text(field: Any, value: Any) -> str:
    if isinstance(value, Model):
        value = getattr(value, field.target_field.attname)
    return str(field.target_field.value_to_string(_Holder(field.target_field.attname, value)))


class _Holder:
    """Has one attribute, as far as a serializer of fields looks."""

    def __init__(self, name: str, value: Any) -> None:
        setattr(self, name, value)
