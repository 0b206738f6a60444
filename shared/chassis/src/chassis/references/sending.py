"""Deletions that reach rows of another side: the owner does its part before the deletion here is committed.

Django's collector is changed once, for the whole process. Where another side owns nothing it does what it always did,
without a query. Otherwise

- it does not follow relations from rows of another side, and notes what they point at (`elsewhere`);
- it deletes here, and asks the owner at once only where a relation protects or restricts;
- before the COMMIT of the transaction the owner deletes or changes its rows, and the stream takes them away here: only
  then nothing that was rolled back here has been done there, and no constraint is violated;
- after the COMMIT the owner is asked once more, for rows that came meanwhile.

Note "before the commit": a transaction is committed by ``BaseDatabaseWrapper.commit``, whoever began it. What is due is
kept where Django keeps what it runs after a commit, so it is forgotten when a savepoint is rolled back.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from django.apps import apps
from django.db import Error, IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet, deletion
from django.db.models.deletion import Collector, ProtectedError, RestrictedError

from chassis.ownership import refusals
from chassis.ownership.refusals import PutOffError, Seen
from chassis.references import asking, elsewhere
from chassis.references.elsewhere import REFUSING, Elsewhere, Key, Link

logger = logging.getLogger("chassis.references.sending")

# Constraints from the copies of these tables that are checked at once, and not at COMMIT.
AT_ONCE = """
SELECT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND NOT condeferred
               AND conrelid = ANY (ARRAY(SELECT to_regclass(name) FROM unnest(%s::text[]) name)))
"""

_KEPT = "_chassis_elsewhere"
_current: ContextVar[Elsewhere | None] = ContextVar("chassis_elsewhere", default=None)
_originals: dict[str, Any] = {}


def install() -> None:
    """Changes the collector for this process; a second call is no error."""
    if _originals:
        return
    collector: Any = Collector
    wrapper: Any = BaseDatabaseWrapper
    module: Any = deletion
    _originals.update(
        candidates=module.get_candidate_relations_to_delete,
        collect=collector.collect,
        can_fast_delete=collector.can_fast_delete,
        add=collector.add,
        delete=collector.delete,
        commit=wrapper.commit,
    )
    module.get_candidate_relations_to_delete = functools.wraps(_originals["candidates"])(_candidates)
    for name, stand_in in (("collect", _collect), ("can_fast_delete", _can_fast_delete), ("add", _add)):
        setattr(collector, name, functools.wraps(_originals[name])(stand_in))
    collector.delete = functools.wraps(_originals["delete"])(_delete)
    wrapper.commit = functools.wraps(_originals["commit"])(_commit)
    if apps.is_installed("django.contrib.contenttypes"):
        from django.contrib.contenttypes.fields import GenericRelation

        relation: Any = GenericRelation
        _originals["generic"] = relation.bulk_related_objects
        relation.bulk_related_objects = functools.wraps(_originals["generic"])(_bulk_related_objects)


class Due:
    """What the owners have to do for one call of ``delete``; called after the commit, it asks them once more."""

    def __init__(self, noted: asking.Noted, using: str) -> None:
        self.noted = noted
        self.using = using
        self.done = False

    def __call__(self) -> None:
        try:
            # The request has been done, and is not to be put off any more.
            with refusals.watching(Seen(None)):
                asking.send(self.noted, "delete", self.using)
        except Error as error:
            # All that was there has gone, and that is committed. Only rows that came in the last moment may be left.
            logger.warning("deletion_not_repeated", extra={"reason": str(error)})


def settle(using: str) -> None:
    """Lets the owners do now what is due before the commit of the open transaction.

    Raises:
        PutOffError: an owner has not done it in time.
    """
    connection = connections[using]
    due = [one for one in _sent(connection) if not one.done]
    # Such a transaction will not be committed, so nothing of it may be done elsewhere.
    if not due or (connection.connection is not None and refusals.is_spoiled(connection.connection)):
        return
    try:
        asking.send(_together(due), "delete", using)
    except (ProtectedError, RestrictedError) as error:
        told = PutOffError(
            f"{error.args[0]} That was not so a moment ago: nothing has been deleted; try again.", _owned(due)
        )
        raise refusals.put_off(told) from error
    for one in due:
        one.done = True


def _commit(self: Any) -> None:
    """Stands in place of ``BaseDatabaseWrapper.commit``; see the note "before the commit"."""
    sent = _sent(self)
    if not sent:
        _originals["commit"](self)
        return
    settle(self.alias)
    try:
        _originals["commit"](self)
    except IntegrityError as error:
        if not _is_by(error, {link.table.rpartition(".")[2] for one in sent for link in one.noted}):
            raise
        told = PutOffError(
            "Rows that point at what is deleted here have just come. Nothing was deleted; try again.", _owned(sent)
        )
        raise refusals.put_off(told) from error


def _owned(due: Iterable[Due]) -> str:
    """A capability whose owner has a part in it; mostly there is one."""
    return next((link.state.capability for one in due for link in one.noted), "")


def _delete(self: Any) -> Any:
    found = _of(self)
    if found is None or not found.noted or any(map(found.is_closed, _written(self))):
        # Where the fence will refuse this, nothing may be done elsewhere.
        with _following(found):
            return _originals["delete"](self)
    with _following(found), transaction.atomic(using=self.using, savepoint=False):
        if any(link.action in REFUSING for link in found.noted):
            asking.send(found.noted, "ask", self.using)
        due = Due(found.noted, self.using)
        if _checked_at_once(found):
            asking.send(found.noted, "delete", self.using)
            due.done = True
        deleted = _originals["delete"](self)
        transaction.on_commit(due, using=self.using)
    return deleted


def _collect(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
    with _following(_of(self)):
        return _originals["collect"](self, objs, *args, **kwargs)


def _can_fast_delete(self: Any, objs: Any, from_field: Any = None) -> Any:
    """A row that something of another side points at has to be known before it is deleted."""
    found = _of(self)
    if found is not None:
        model = objs._meta.model if hasattr(objs, "_meta") else getattr(objs, "model", None)
        if model is not None and found.leads_away(model):
            return False
    with _following(found):
        return _originals["can_fast_delete"](self, objs, from_field)


def _add(self: Any, *args: Any, **kwargs: Any) -> Any:
    new = _originals["add"](self, *args, **kwargs)
    found = _of(self)
    if found is not None and new:
        found.note(new)
    return new


def _candidates(opts: Any) -> Iterable[Any]:
    found = _current.get()
    every = _originals["candidates"](opts)
    return every if found is None else [related for related in every if not found.hides(related)]


def _bulk_related_objects(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
    found = _current.get()
    if found is not None and found.owner(self.remote_field.model) and not found.is_closed(self.model):
        return []
    return _originals["generic"](self, objs, *args, **kwargs)


def _of(collector: Any) -> Elsewhere | None:
    """What the collector does not follow; the same from its first question to its end."""
    kept = vars(collector)
    if _KEPT not in kept:
        kept[_KEPT] = elsewhere.now(collector.using)
    found: Elsewhere | None = kept[_KEPT]
    return found


@contextmanager
def _following(found: Elsewhere | None) -> Iterator[None]:
    token = _current.set(found)
    try:
        yield
    finally:
        _current.reset(token)


def _written(collector: Any) -> Iterator[type[Model]]:
    """The models whose rows the collector will write."""
    yield from (model for model, instances in collector.data.items() if instances)
    for rows in collector.fast_deletes:
        yield rows.model
    for instances in collector.field_updates.values():
        for one in instances:
            yield from {one.model} if isinstance(one, QuerySet) else {type(each) for each in one}


def _sent(connection: Any) -> list[Due]:
    return [one for _, one, *_ in connection.run_on_commit if isinstance(one, Due)]


def _is_by(error: IntegrityError, tables: set[str]) -> bool:
    """Whether a constraint of one of these tables objects that what its rows point at is gone."""
    cause = error.__cause__
    return isinstance(cause, psycopg.errors.ForeignKeyViolation) and cause.diag.table_name in tables


def _together(due: Iterable[Due]) -> asking.Noted:
    merged: dict[Link, dict[Key, None]] = {}
    for one in due:
        for link, keys in one.noted.items():
            merged.setdefault(link, {}).update(keys)
    return merged


def _checked_at_once(found: Elsewhere) -> bool:
    connection = connections[found.using]
    names = [connection.ops.quote_name(link.model._meta.db_table) for link in found.noted]
    with connection.cursor() as cursor:
        cursor.execute(AT_ONCE, [names])
        return bool(cursor.fetchone()[0])
