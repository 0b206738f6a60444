"""Asks the owner of rows to do what their models say of a deletion here, and waits until the copy here shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn

import urllib3
from django.db import connections
from django.db.models import Model
from django.db.models.deletion import ProtectedError, RestrictedError

from chassis import agreement, settings
from chassis.ownership import refusals, sealing, traces
from chassis.ownership.owners import SideState
from chassis.ownership.refusals import PutOffError
from chassis.process import tracing, waiting
from chassis.process.waiting import Full
from chassis.references.elsewhere import PROTECT, TABLE, Key, Link, pointing

Kind = Literal["ask", "delete"]
Noted = Mapping[Link, Mapping[Key, None]]

CONNECT_SECONDS = 2.0
KEYS_AT_ONCE = 2000  # of each relation, so that no request to the owner is large

_pool = urllib3.PoolManager(maxsize=8, retries=False)


def send(noted: Noted, kind: Kind, using: str) -> None:
    """Asks each owner, capability by capability; with ``delete`` returns when no copy here points there any more.

    Each request, with the wait for what comes of it, takes at most ``CHASSIS_HOLD_SECONDS``. With ``ask`` the owner
    only says whether something there protects or restricts.

    Raises:
        ProtectedError, RestrictedError: the owner has rows that must not lose what they point at.
        PutOffError: an owner could not be reached, has changed, or did not do it in time; the same may succeed later.
    """
    owners = {link.state.capability: link.state for link in noted}
    for capability, state in owners.items():
        links = {link: list(keys) for link, keys in noted.items() if link.state.capability == capability}
        for some in _in_parts(links):
            deadline = time.monotonic() + settings.hold_seconds()
            try:
                with waiting.process.one("peers"):
                    _ask(state, some, kind, using, deadline)
                    if kind == "delete":
                        _await_gone(state, some, using, deadline)
            except Full as error:
                raise _put_off(state, "too many requests wait already") from error


def _in_parts(links: Mapping[Link, Sequence[Key]]) -> Iterator[Mapping[Link, Sequence[Key]]]:
    for first in range(0, max(map(len, links.values()), default=0), KEYS_AT_ONCE):
        parts = {link: keys[first : first + KEYS_AT_ONCE] for link, keys in links.items()}
        yield {link: keys for link, keys in parts.items() if keys}


def _ask(state: SideState, links: Mapping[Link, Sequence[Key]], kind: Kind, using: str, deadline: float) -> None:
    secret = sealing.secret_of(state.capability, using)
    if secret is None:
        raise _put_off(
            state,
            "there is no secret of this move that this role may read: run `strangler verify` with the present tool, "
            "and connect as the role that owns the moved tables",
        )
    items = [_item(link, keys) for link, keys in links.items()]
    body, signature = sealing.seal(secret, {"kind": kind, "epoch": state.epoch, "items": items})
    headers = {
        "Content-Type": "application/json",
        # A kept connection may be closed by the other side just then, and nobody would know what it did.
        "Connection": "close",
        agreement.CAPABILITY: state.capability,
        agreement.SIGNATURE: signature,
    }
    left = max(deadline - time.monotonic(), 0.1)
    timeout = urllib3.Timeout(connect=min(left, CONNECT_SECONDS), read=left)
    try:
        url = state.peer_url + agreement.DELETIONS
        with traces.asked(state):
            headers[tracing.HEADER] = tracing.current_traceparent()
            answer = _pool.request("POST", url, body=body, headers=headers, timeout=timeout, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise _put_off(state, f"{state.peer_url} does not answer ({type(error).__name__})") from error
    if answer.status == 200:
        return
    if answer.status == 422:
        _refuse(links, answer.json(), using)
    if answer.status == 409:
        raise _put_off(state, "it is changing hands", moved=state.capability)
    said = answer.data[:300].decode(errors="replace")
    raise _put_off(state, f"{state.peer_url} answered {answer.status}: {said}")


def _item(link: Link, keys: Sequence[Key]) -> dict[str, Any]:
    return {"table": link.table, "columns": link.columns, "keys": keys, "action": link.action, "value": link.value}


def _refuse(links: Mapping[Link, Sequence[Key]], told: Mapping[str, Any], using: str) -> NoReturn:
    """Raises what Django would have raised, with the rows as far as they are here."""
    kept: set[Model] = set()
    model = next((link.model for link in links if link.table == told["table"]), None)
    if model is not None and _has_table(connections[using], model):
        kept = set(model._base_manager.using(using).filter(pk__in=told["keys"]))
    error = ProtectedError if told["refused"] == PROTECT else RestrictedError
    raise error(told["detail"], kept)


def _await_gone(state: SideState, links: Mapping[Link, Sequence[Key]], using: str, deadline: float) -> None:
    """Looks in a session of its own, for a transaction with a snapshot would never see what the stream brings."""
    session = connections[using].copy()
    try:
        for link, keys in links.items():
            if not _has_table(session, link.model):
                continue
            rows = pointing(link.model, link.fields, keys).order_by().values_list(link.fields[0].attname)[:1]
            statement, values = rows.query.get_compiler(connection=session).as_sql()
            pause = 0.002
            while _finds(session, statement, values):
                if time.monotonic() >= deadline:
                    raise _put_off(state, f"rows of {link.describe()} have not gone here in time: see the stream")
                time.sleep(pause)
                pause = min(pause * 1.5, 0.05)
    finally:
        session.close()


def _finds(session: Any, statement: str, values: Sequence[Any]) -> bool:
    with session.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone() is not None


def _has_table(session: Any, model: type[Model]) -> bool:
    with session.cursor() as cursor:
        cursor.execute(TABLE, [session.ops.quote_name(model._meta.db_table)])
        return bool(cursor.fetchone()[0])


def _put_off(state: SideState, why: str, *, moved: str | None = None) -> PutOffError:
    error = PutOffError(
        f"{state.capability} is the other side's, and has rows that point at what is deleted here, but {why}. "
        "Nothing has been deleted here; try again.",
        state.capability,
    )
    return refusals.put_off(error, moved=moved)
