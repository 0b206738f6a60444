"""What the owner does to its rows when the other side deletes what they point at.

It does it by its own models and Django's collector, with signals and cascades, in one transaction of its own. What has
been done already is no error, so the other side may ask again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, DatabaseError
from django.db.models import Model
from django.db.models.deletion import Collector, ProtectedError, RestrictedError
from django.http import HttpRequest, HttpResponse, JsonResponse

from chassis import agreement
from chassis.database import isolation
from chassis.ownership import hashes, owners, refusals, sealing
from chassis.ownership.owners import SideState
from chassis.ownership.refusals import PutOffError
from chassis.ownership.sealing import UnsealedError
from chassis.references import dependants
from chassis.references.elsewhere import CASCADE, PROTECT, RESTRICT, SET, pointing

logger = logging.getLogger("chassis.references.obeying")

LARGEST_BYTES = 8 * 1024 * 1024
NAMED = 20  # rows that an answer names


def answer(request: HttpRequest) -> HttpResponse:
    """200 when it is done, or was done before; 422 when rows here must not lose what they point at; 409 when this side
    does not own them; 403 for everybody but the other side."""
    if request.method != "POST":
        return _told(405, "Only the other side of a move asks here, by POST.")
    body = request.read(LARGEST_BYTES + 1)
    if len(body) > LARGEST_BYTES:
        return _told(413, "The body is too large.")
    capability = request.headers.get(agreement.CAPABILITY, "")
    try:
        content = sealing.unseal(capability, body, request.headers.get(agreement.SIGNATURE, ""))
    except UnsealedError as error:
        logger.warning("deletion_forged", extra={"capability": capability[:100], "reason": str(error)})
        return _told(403, f"Not accepted: {error}.")
    if content["kind"] == "probe":
        return JsonResponse({"deletions": True, "positions": True, **hashes.told(capability)})
    return _obey(capability, content)


def _obey(capability: str, content: Mapping[str, Any]) -> HttpResponse:
    state = owners.sides().get(capability)
    if state is None or not state.writable or state.epoch < content["epoch"]:
        return _told(409, "This side does not own it now.")
    try:
        with refusals.watching() as seen, isolation.read_committed():
            rows = _do(state, content["items"], only_ask=content["kind"] == "ask")
            seen.check()
    except (ProtectedError, RestrictedError) as error:
        return _refused(error)
    except LookupError as error:
        return _told(501, str(error))
    except PutOffError as error:
        return _told(503, str(error))
    except DatabaseError as error:
        if owners.refused_capability(error) is None:
            raise
        return _told(409, "This side does not own it now.")
    logger.info("deletion_obeyed", extra={"capability": capability, "rows": rows})
    return JsonResponse({"rows": rows})


def _do(state: SideState, items: Sequence[Mapping[str, Any]], *, only_ask: bool) -> int:
    """Returns how many rows were deleted.

    Raises:
        ProtectedError, RestrictedError: the models say that it must not be done.
        LookupError: there is no model for it here.
    """
    collector = Collector(using=DEFAULT_DB_ALIAS)
    for item in items:
        _collect(collector, state, item)
    dependants.refuse_restricted(collector)
    return 0 if only_ask else collector.delete()[0]


def _collect(collector: Any, state: SideState, item: Mapping[str, Any]) -> None:
    model, fields = _model(state, item["table"], item["columns"])
    rows = pointing(model, fields, item["keys"])
    action = item["action"]
    if action == CASCADE:
        collector.collect(rows, fail_on_restricted=False)
    elif action == SET:
        value = None if item["value"] is None else fields[0].to_python(item["value"])
        collector.add_field_update(fields[0], value, rows)
    elif action == RESTRICT:
        collector.add_restricted_objects(fields[0], rows)
    elif action == PROTECT and (kept := list(rows[:NAMED])):
        raise ProtectedError(f"Rows of {item['table']} protect what they point at.", set(kept))


def _model(state: SideState, table: str, columns: Sequence[str]) -> tuple[type[Model], list[Any]]:
    """The model that has the table here, and its fields for these columns."""
    named = [model for model in apps.get_models(include_auto_created=True) if _has(model, table)]
    named.sort(key=lambda model: (not model._meta.managed, model._meta.db_table.replace('"', "") != table))
    found = next((model for model in named if state.holds(model._meta.db_table)), None)
    if found is None:
        raise LookupError(f"no model of this service has the table {table}")
    by_column = {field.column: field for field in found._meta.local_concrete_fields}
    missing = [column for column in columns if column not in by_column]
    if missing:
        raise LookupError(f"{found._meta.label} of this service has no column {', '.join(missing)}")
    return found, [by_column[column] for column in columns]


def _has(model: type[Model], table: str) -> bool:
    # One side may name the schema, and the other find the table by its search path.
    bare = model._meta.db_table.replace('"', "").rpartition(".")[2]
    return not model._meta.proxy and bare == table.rpartition(".")[2]


def _refused(error: ProtectedError | RestrictedError) -> HttpResponse:
    protects = isinstance(error, ProtectedError)
    objects = error.protected_objects if isinstance(error, ProtectedError) else error.restricted_objects
    kept = list(objects)[:NAMED]
    content = {
        "detail": str(error.args[0]),
        "refused": PROTECT if protects else RESTRICT,
        "table": kept[0]._meta.db_table.replace('"', "") if kept else "",
        "keys": [str(one.pk) for one in kept],
    }
    return JsonResponse(content, status=422)


def _told(status: int, detail: str) -> HttpResponse:
    return JsonResponse({"detail": detail}, status=status)
