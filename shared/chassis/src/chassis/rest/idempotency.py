"""Idempotency-Key: a request that comes again has one effect and one answer.

The answer is stored in the transaction of the request's writes, so it is there exactly when the writes are:

- Below 500, and the transaction commits: the answer is stored, whatever it says. A repetition gets it byte for byte.
- An APIException, or any other error: the transaction is rolled back. Nothing is stored and nothing was written. A
  repetition counts as new: what was refused then may be allowed now.
- 500 and above, *returned* by the view: the transaction is rolled back here, because the client will ask again.

Keys belong to their caller; two callers never see each other's answers. A key stands for one method, path and body.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, models, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from chassis.database import isolation
from chassis.ownership import owners
from chassis.rest.errors import Conflict, Unprocessable

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_CHARACTERS = 255
WAIT = timedelta(seconds=10)  # for an earlier request with the key that is still being answered
BATCH_ROWS = 5_000
LOCK_NOT_AVAILABLE = "55P03"
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

CLAIM = """
INSERT INTO {table} (caller, key, digest, status, headers, body, created_at)
VALUES (%s, %s, %s, 0, '{{}}', '', clock_timestamp()) ON CONFLICT (caller, key) DO NOTHING
"""


class IdempotencyRow(models.Model):
    """The answer that a caller got; each capability has a table of its own, which moves with it."""

    caller: models.TextField[str, str] = models.TextField()
    key: models.CharField[str, str] = models.CharField(max_length=LONGEST_CHARACTERS)
    digest: models.CharField[str, str] = models.CharField(max_length=64)
    status: models.SmallIntegerField[int, int] = models.SmallIntegerField()
    headers = models.JSONField(default=dict)
    body: models.BinaryField[bytes, bytes] = models.BinaryField()
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True
        constraints = (
            models.UniqueConstraint(fields=("caller", "key"), name="%(app_label)s_%(class)s_once_per_caller"),
        )
        indexes = (models.Index(fields=["created_at"], name="%(app_label)s_%(class)s_age"),)

    def __str__(self) -> str:
        return f"{self.key} of {self.caller}"

    def answer(self) -> HttpResponse:
        """The answer as it was, marked as a repetition."""
        response = HttpResponse(bytes(self.body), status=self.status, headers=self.headers)
        response[REPLAYED] = "true"
        return response


def key_of(request: Request) -> str | None:
    """The request's key, None without one. Raises ValidationError, a 400."""
    key = request.headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= LONGEST_CHARACTERS and key.isascii() and key.isprintable()):
        raise ValidationError({HEADER: [f"1 to {LONGEST_CHARACTERS} printable ASCII characters."]})
    return key


def required_key_of(request: Request) -> str:
    """The request's key. Raises ValidationError, a 400, without one."""
    key = key_of(request)
    if key is None:
        raise ValidationError({HEADER: ["This header is required."]})
    return key


def caller_of(request: Request) -> str:
    """The owner of the keys: an account or a service. Raises ImproperlyConfigured where the caller is not known."""
    user: Any = request.user
    if not getattr(user, "is_authenticated", False):
        raise ImproperlyConfigured("An Idempotency-Key needs a caller: the view lets in who is not authenticated")
    return str(user) if user.pk is None else f"account:{user.pk}"


def digest_of(request: Request) -> str:
    """A digest that is the same for the same method, path and body. In JSON neither the order of names nor blanks
    matter.

    The spelling of escapes does not matter either: the process that led a request to another side may have changed it.
    """
    if request.content_type.split(";")[0].strip() == "application/json":
        body = json.dumps(request.data, sort_keys=True, separators=(",", ":")).encode()
    else:
        body = request._request.body
    target = _BROKEN_ESCAPE.sub("%25", request.get_full_path())
    target = _ESCAPE.sub(lambda escape: escape[0].upper(), target)
    digest = hashlib.sha256(f"{request.method} {target}\n".encode())
    digest.update(body)
    return digest.hexdigest()


def claim(model: type[IdempotencyRow], *, caller: str, key: str, digest: str) -> IdempotencyRow | None:
    """None for the first request with this key, which has the key until its transaction ends. For a later one, the row
    of the first.

    A second request at the same time waits for the first one's transaction. When that is rolled back, the second
    becomes the first.

    Raises:
        Unprocessable: the key stands for another request.
        Conflict: the first has not ended after `WAIT`.
        RuntimeError: outside a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("idempotency.claim belongs into the transaction of the write: use transaction.atomic()")
    table = connection.ops.quote_name(model._meta.db_table)
    with _limited_wait(), connection.cursor() as cursor:
        cursor.execute(CLAIM.format(table=table), (caller, key, digest))
        if cursor.rowcount:
            return None
    earlier = model._default_manager.get(caller=caller, key=key)
    if earlier.digest != digest:
        raise Unprocessable(f"This {HEADER} was used for another request.")
    return earlier


def keep(model: type[IdempotencyRow], *, caller: str, key: str, response: HttpResponse) -> None:
    """Stores the answer of the first request, in its transaction."""
    model._default_manager.filter(caller=caller, key=key).update(
        status=response.status_code, headers=dict(response.headers), body=response.content
    )


def purge(older_than: timedelta) -> int:
    """Forgets answers of that age, in every table that is owned here; returns how many.

    A repetition after that counts as new, so the age must be longer than any client tries.
    """
    before = timezone.now() - older_than
    count = 0
    for model in apps.get_models():
        if issubclass(model, IdempotencyRow) and owners.closed_by_table(model._meta.db_table) is None:
            old = model._default_manager.filter(created_at__lt=before).order_by("created_at")
            while gone := model._default_manager.filter(
                pk__in=list(old.values_list("pk", flat=True)[:BATCH_ROWS])
            ).delete()[0]:
                count += gone
    return count


class AnsweredMeanwhile(Conflict):
    """409, and when to come again."""

    wait = 1
    default_detail = f"An earlier request with this {HEADER} was being answered at the same time; try again."


class Idempotent:
    """Mixin, left of a REST framework view. The view runs in one transaction, which is opened here unless one is open.

    Without a key the request is refused with 400, or taken as it is where ``idempotency_required`` is False.
    """

    idempotency_model: ClassVar[str]
    idempotency_required: ClassVar[bool] = True
    idempotent_methods: ClassVar[tuple[str, ...]] = ("POST",)
    # Further statuses in the OpenAPI document; see chassis.rest.openapi.
    refusals: ClassVar[Mapping[str, tuple[int, ...]]] = {"POST": (409, 422)}
    _claimed: tuple[str, str] | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The claim, the writes and the answer are committed together."""
        if connection.in_atomic_block or request.method not in self.idempotent_methods:
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc,no-any-return]
        with transaction.atomic():
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Claims the key, after all checks of whether the caller may ask at all."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        if request.method not in self.idempotent_methods:
            return
        key = required_key_of(request) if self.idempotency_required else key_of(request)
        if key is None:
            return
        caller = caller_of(request)
        earlier = claim(self._answers(), caller=caller, key=key, digest=digest_of(request))
        if earlier is not None:
            raise _AnsweredBefore(earlier)
        self._claimed = (caller, key)

    def handle_exception(self, exc: Exception) -> HttpResponseBase:
        """An earlier answer is no error; any error takes the claim back with the writes."""
        if isinstance(exc, _AnsweredBefore):
            return exc.row.answer()
        self._claimed = None
        if connection.in_atomic_block:
            transaction.set_rollback(True)  # REST framework does so with ATOMIC_REQUESTS only
        response: HttpResponseBase = super().handle_exception(exc)  # type: ignore[misc]
        return response

    def finalize_response(
        self, request: HttpRequest, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Stores the answer as the last act within the transaction; so the response is rendered here and not after
        it."""
        final: HttpResponse = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if self._claimed is None or transaction.get_rollback():
            return final
        if final.status_code >= 500:
            transaction.set_rollback(True)
            return final
        if isinstance(final, Response):
            final.render()
        caller, key = self._claimed
        keep(self._answers(), caller=caller, key=key, response=final)
        return final

    def _answers(self) -> type[IdempotencyRow]:
        model = apps.get_model(self.idempotency_model)
        assert issubclass(model, IdempotencyRow)
        return model


class _AnsweredBefore(Exception):  # noqa: N818
    """Takes the request past the view."""

    def __init__(self, row: IdempotencyRow) -> None:
        self.row = row


@contextmanager
def _limited_wait() -> Iterator[None]:
    """Raises Conflict where a lock does not come in time; other statements wait for locks as long as before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{WAIT.total_seconds() * 1000:.0f}ms",))
        try:
            yield
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                raise Conflict(f"An earlier request with this {HEADER} is still being answered; try again.") from error
            if isolation.is_passing(error):
                # This transaction's snapshot is older than the earlier one's commit; the next transaction sees its
                # answer.
                raise AnsweredMeanwhile from error
            raise
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", (before,))
