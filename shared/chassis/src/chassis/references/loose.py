"""Relations of installed packages to rows that another side owns: a column without a constraint, and a key without a
row.

Nobody can change a package's models, so a setting names the relations (``CHASSIS_LOOSE``). The package's migrations
make the tables, constraints among it; after each ``migrate`` the constraints of these relations are taken away. Where
code of the package follows such a relation, it gets the row if this database has one, and otherwise an object which
has the key: it can be compared and assigned. Whatever else is asked of it raises ElsewhereError.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NoReturn

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from django.db.models.base import ModelBase
from django.db.models.signals import post_migrate

from chassis import settings

CONSTRAINTS = """
SELECT k.conname FROM pg_constraint k
JOIN pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
WHERE k.contype = 'f' AND k.conrelid = to_regclass(%s) AND a.attname = %s
"""


class ElsewhereError(ObjectDoesNotExist):
    """Something besides its key was asked of a row that another side has."""


class Elsewhere:
    """What an object has in the place of a row."""

    pk: Any
    _meta: Any

    def refresh_from_db(self, using: str | None = None, fields: Sequence[str] | None = None, **_: Any) -> None:
        """Django asks for what it does not have yet by this."""
        self._refuse(", ".join(fields or ("row",)))

    def save(self, *_: Any, **__: Any) -> None:
        self._refuse("row, to be saved")

    def delete(self, *_: Any, **__: Any) -> None:
        self._refuse("row, to be deleted")

    def _refuse(self, what: str) -> NoReturn:
        label = self._meta.label
        raise ElsewhereError(
            f"the {what} of {label} is at the side that owns it, and only its key is known here: ask that side, or "
            f"fill {self._meta.db_table} by a stream of reference data"
        )

    def __str__(self) -> str:
        return f"{self._meta.label} elsewhere"


def install() -> None:
    """Loosens the relations that the setting names; those that it names wrongly are told by the check."""
    named = list(_named())
    for model, field in named:
        if field is not None and not field.many_to_many:
            _follow_by_key(model, field)
    if named:
        post_migrate.connect(_after_migrate, sender=apps.get_app_config("chassis"), dispatch_uid="chassis.loose")


def points_at(model: type[Model]) -> bool:
    """Whether a loose relation points at rows of this model."""
    return any(
        field is not None and field.remote_field.model._meta.concrete_model is model._meta.concrete_model
        for _, field in _named()
    )


def loosen(using: str = DEFAULT_DB_ALIAS) -> None:
    """Takes the constraints away, as far as there are any."""
    connection = connections[using]
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        for model, field in _named():
            for table, column in _columns(model, field) if field is not None else ():
                cursor.execute(CONSTRAINTS, [quote(table), column])
                for (name,) in cursor.fetchall():
                    cursor.execute(f"ALTER TABLE {quote(table)} DROP CONSTRAINT {quote(name)}")


def subclass(model: type[Model], *before: type, **more: Any) -> type[Model]:
    """A class of the same model, which Django does not hear of: its objects are the model's, and it has no table."""
    bases = (*before, model)
    made: Any = type.__new__(ModelBase, model.__name__, bases, {"__module__": model.__module__, **more})
    return made  # type: ignore[no-any-return]


def _named() -> Iterator[tuple[type[Model], Any]]:
    """Model and field of each relation; None for what is no relation to a model."""
    for text in settings.loose():
        label, _, name = text.rpartition(".")
        try:
            model = apps.get_model(label)
            field: Any = model._meta.get_field(name)
        except (LookupError, ValueError, FieldDoesNotExist):
            field = None
        if getattr(field, "remote_field", None) is None or field.auto_created:
            yield Model, None
        else:
            yield model, field


def _columns(model: type[Model], field: Any) -> Iterator[tuple[str, str]]:
    if field.many_to_many:
        through = field.remote_field.through
        yield through._meta.db_table, through._meta.get_field(field.m2m_reverse_field_name()).column
    else:
        yield field.model._meta.db_table, field.column


def _after_migrate(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    if connections[using].vendor == "postgresql":
        loosen(using)


def _follow_by_key(model: type[Model], field: Any) -> None:
    descriptor = type(vars(field.model).get(field.name) or getattr(model, field.name))
    if not issubclass(descriptor, _ByKey):
        setattr(field.model, field.name, type(descriptor.__name__, (_ByKey, descriptor), {})(field))
    if not isinstance(field, _Joined):
        cls = type(field)
        same = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}  # as migrations name it
        field.__class__ = type(cls.__name__, (_Joined, cls), same)


class _Joined:
    """Where the row may be elsewhere, a join must not lose the row that points at it. Django would make an inner join
    of it where a filter says that the key is not null, so no join is shared with a filter's."""

    @property
    def path_infos(self) -> list[Any]:
        """The way to the other model: over a field that may be null, and that is equal to no other."""
        field: Any = copy.copy(self)
        field.null = True
        field.creation_counter = -next(_counter)
        return [info._replace(join_field=field) for info in self.get_path_info()]  # type: ignore[attr-defined]


_counter = itertools.count(1_000_000)


class _ByKey:
    field: Any

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return super().__get__(instance, cls)  # type: ignore[misc]
        try:
            found = super().__get__(instance, cls)  # type: ignore[misc]
        except ObjectDoesNotExist:
            found = None
        value = getattr(instance, self.field.attname)
        if found is None and value is not None:
            target = self.field.target_field
            made: Any = _class(self.field.remote_field.model)
            found = made.from_db(instance._state.db, [target.attname], [value])
            self.field.set_cached_value(instance, found)
        return found


@cache
def _class(model: type[Model]) -> type[Model]:
    return subclass(model, Elsewhere)


@register("chassis")
def loose(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Names in the setting that are no relations."""
    return [
        Error(
            f"CHASSIS_LOOSE names {text!r}, which is no relation of an installed model",
            hint="write it as app.Model.field",
            id="chassis.E030",
        )
        for text, (_, field) in zip(settings.loose(), _named(), strict=True)
        if field is None
    ]
