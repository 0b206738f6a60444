"""The requests of `django.test.Client`, of AsyncClient, and of REST framework's APIClient, which all end in the same
two handlers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import unittest
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.files.uploadhandler import MemoryFileUploadHandler, TemporaryFileUploadHandler
from django.db.backends.utils import CursorWrapper
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser
from django.test.client import AsyncClientHandler, ClientHandler, FakePayload
from django.utils.functional import SimpleLazyObject

from chassis.testing.recording import pages
from chassis.testing.recording.hiding import LONGEST, MASK, hidden, leaf
from chassis.testing.recording.rows import Rows, described

FORM = 2
# A value that is shorter than this is found in many answers.
TELLING = 16
LARGEST_BODY = 256 * 1024
_installed: list[str] = []
_current: ContextVar[Rows | None] = ContextVar("_current", default=None)
COPIES = ("copy", "copy_expert", "copy_from")
_PATH_WORD = re.compile("[^a-z_]")


class Recording:
    """The file, and what the answers of the present test have said."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._test = ""
        self._answers: list[Any] = []
        self._lock = threading.Lock()
        self._described = False
        self.running = ""

    def note(self, request: Any, sent: _Sent, response: Any, rows: Rows, *, forced: bool) -> None:
        """Writes a line for the request. An error in here is none of the project's, and stands in its line."""
        try:
            self._note(request, sent, response, rows, forced=forced)
        except Exception as error:  # noqa: BLE001  the test goes on as without a recording
            with contextlib.suppress(OSError):
                told = {"method": request.method, "path": hidden(request.path), "error": type(error).__name__}
                self._write({"kind": "unread", **told})

    def _note(self, request: Any, sent: _Sent, response: Any, rows: Rows, *, forced: bool) -> None:
        with self._lock:
            test = self.running or os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
            if test != self._test:
                self._test, self._answers = test, []
            answer = _answer(response)
            line = self._line(request, sent, response, rows, answer, forced=forced)
            self._answers.append(answer)
            if not self._described:
                self._described = True
                self._write(
                    {"kind": "project", "form": FORM, "django": django.get_version(), "tables": described(),
                     "login": _login()}
                )  # fmt: skip
            self._write(line)

    def _line(
        self, request: Any, sent: _Sent, response: Any, rows: Rows, answer: Any, *, forced: bool
    ) -> dict[str, Any]:
        body, headers = _body(sent.body, sent.kind), sent.headers
        form = isinstance(body, _Form)
        user = _user(request)
        template, ids = _template(request)
        word, _, token = headers.pop("authorization", "").partition(" ")
        session = "sessionid" in request.COOKIES or bool(
            getattr(getattr(request, "session", None), "session_key", None)
        )
        return {
            "kind": "request",
            "test": self._test,
            "call": len(self._answers),
            "method": request.method,
            "path": hidden(request.path),
            "template": template,
            "ids": [found for name, value in ids.items() if (found := self._origin(value, name))],
            "query": {key: hidden(value, key) for key, value in request.GET.items()},
            "status": response.status_code,
            "form": form,
            "files": body.files if isinstance(body, _Form) else [],
            "body": self._traced(body.fields if isinstance(body, _Form) else body),
            "headers": {name: value for name, value in headers.items() if hidden(value, name) == value},
            "access": "forced" if forced else word if word and token else "session" if session else "",
            "token": self._origin(token) if token else None,
            "signed_in": bool(getattr(user, "is_authenticated", user is None and session)),
            "staff": bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)),
            "answer": hidden(answer),
            "location": hidden(str(response.get("Location", ""))),
            "page": _page(request, response),
            "rows": list(rows.changes()),
            "unseen": rows.unseen(),
        }

    def _traced(self, value: Any, name: str = "") -> Any:
        """The body: what came from an earlier answer is told by its place there, what is secret by its name."""
        if isinstance(value, dict):
            return {str(key): self._traced(each, str(key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._traced(each, name) for each in value[:1]]
        if isinstance(value, str) and len(value) >= TELLING and (found := self._origin(value)):
            return {"$from": found}
        return leaf(name, value)

    def _origin(self, value: Any, name: str = "") -> dict[str, Any] | None:
        """The latest answer that has the value, and where; an id has to be called one there."""
        for number in reversed(range(len(self._answers))):
            for place, each in _leaves(self._answers[number]):
                named = not name or str(place[-1] if place else "") in (name, "id", "pk", "uuid", "slug", "code", "key")
                if not isinstance(each, bool) and each not in (None, "") and str(each) == str(value) and named:
                    return {"call": number, "in": list(place)}
        return None

    def _write(self, line: dict[str, Any]) -> None:
        # One file for each process: tests that run in parallel write at the same time.
        path = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line, default=str) + "\n")


def install(path: str) -> None:
    """Puts the recording around both handlers, the cursors, and the tests, so that each knows the other."""
    if _installed:
        return
    _installed.append(path)
    recording = Recording(path)
    _around_cursors()
    _around_tests(recording)
    of_sync, of_async = ClientHandler.__call__, AsyncClientHandler.__call__

    def call(self: Any, environ: dict[str, Any]) -> Any:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = FakePayload(body)
        headers = _headers({key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")})
        rows = Rows()
        token = _current.set(rows)
        try:
            response = of_sync(self, environ)
        finally:
            _current.reset(token)
        sent = _Sent(body, str(environ.get("CONTENT_TYPE", "")), headers)
        recording.note(response.wsgi_request, sent, response, rows, forced=_is_forced(self))
        return response

    async def call_async(self: Any, scope: dict[str, Any]) -> Any:
        payload = scope.get("_body_file")
        body = payload.read() if payload is not None else b""
        if payload is not None:
            scope["_body_file"] = FakePayload(body)
        found = {name.decode("latin1"): value.decode("latin1") for name, value in scope.get("headers", ())}
        rows = Rows()
        token = _current.set(rows)
        try:
            response = await of_async(self, scope)
        finally:
            _current.reset(token)
        sent = _Sent(body, found.get("content-type", ""), _headers(found))
        await sync_to_async(recording.note)(response.asgi_request, sent, response, rows, forced=_is_forced(self))
        return response

    ClientHandler.__call__ = call  # type: ignore[method-assign]
    AsyncClientHandler.__call__ = call_async  # type: ignore[method-assign]


def _around_cursors() -> None:
    wrapper: Any = CursorWrapper
    plain, other = wrapper._execute_with_wrappers, wrapper.__getattr__

    def execute(self: Any, sql: Any, params: Any, many: bool, executor: Any) -> Any:
        rows = _current.get()
        if rows is not None:
            with contextlib.suppress(Exception):
                rows.meet(self.db, str(sql))
        return plain(self, sql, params, many, executor)

    def getattr_(self: Any, name: str) -> Any:
        found = other(self, name)
        rows = _current.get()
        return _copying(name, found, self.db, rows) if name in COPIES and rows is not None else found

    wrapper._execute_with_wrappers = execute
    wrapper.__getattr__ = getattr_


def _copying(name: str, plain: Any, connection: Any, rows: Rows) -> Any:
    """The driver's own ways to fill a table, which do not pass through Django's: psycopg 3 and 2."""

    def copy(*words: Any, **named: Any) -> Any:
        with contextlib.suppress(Exception):
            given = [*words, *named.values()]
            statement = f'COPY "{given[1]}" FROM' if name == "copy_from" else _as_statement(given)
            rows.meet(connection, statement)
        return plain(*words, **named)

    return copy


def _as_statement(given: list[Any]) -> str:
    first = given[0]
    if isinstance(first, bytes):
        return first.decode(errors="replace")
    return first if isinstance(first, str) else str(first.as_string(None))


def _around_tests(recording: Recording) -> None:
    plain = unittest.TestCase.run

    def run(self: unittest.TestCase, result: unittest.TestResult | None = None) -> Any:
        recording.running = self.id()
        try:
            return plain(self, result)
        finally:
            recording.running = ""

    unittest.TestCase.run = run  # type: ignore[method-assign]


def _user(request: Any) -> Any:
    """Who asks, as far as somebody has looked: to look now would be a query that the test has not made."""
    user = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):
        return request.__dict__.get("_cached_user", request.__dict__.get("_acached_user"))
    return user


def _is_forced(handler: Any) -> bool:
    """Whether REST framework was told who asks, without a token."""
    return bool(getattr(handler, "_force_user", None) or getattr(handler, "_force_token", None))


def _headers(found: dict[str, str]) -> dict[str, str]:
    """The headers that say something of the request; the names as they are compared, in lower case."""
    own = {name.lower().replace("_", "-"): str(value) for name, value in found.items()}
    return {name: value for name, value in own.items() if name not in ("cookie", "host", "accept", "user-agent")}


@dataclass(frozen=True)
class _Sent:
    """What a test has sent; ``kind`` is the Content-Type."""

    body: bytes
    kind: str
    headers: dict[str, str]


@dataclass(frozen=True)
class _Form:
    """What a form has sent: the views read it or not, so it is read here once more."""

    fields: dict[str, Any]
    files: list[str]


def _body(body: bytes, kind: str) -> Any:
    if kind.startswith("application/x-www-form-urlencoded"):
        return _Form(_single(QueryDict(body, encoding="utf-8")), [])
    if kind.startswith("multipart/"):
        meta = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": len(body)}
        fields, files = MultiPartParser(
            meta, BytesIO(body), [MemoryFileUploadHandler(), TemporaryFileUploadHandler()], "utf-8"
        ).parse()
        return _Form(_single(fields), sorted(files))
    if not body or len(body) > LARGEST_BODY or "json" not in kind:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def _single(form: Any) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else values for name, values in form.lists()}


def _answer(response: Any) -> Any:
    if getattr(response, "streaming", False) or "json" not in str(response.get("Content-Type", "")):
        return None
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def _page(request: Any, response: Any) -> dict[str, Any] | None:
    """What a page shows; one that cannot be read shows nothing."""
    with contextlib.suppress(Exception):
        return pages.page(response, request.path, request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", ""))
    return None


def _template(request: Any) -> tuple[str | None, dict[str, str]]:
    """The path with the names of its variables, and their values."""
    match = getattr(request, "resolver_match", None)
    if match is None:
        return None, {}
    given = {**{f"part_{number}": value for number, value in enumerate(match.args)}, **match.kwargs}
    named = {_PATH_WORD.sub("", name.lower()) or "id": str(value) for name, value in given.items() if value is not None}
    parts = request.path.split("/")
    for name, value in named.items():
        for number in reversed(range(len(parts))):
            if parts[number] == value:
                parts[number] = "{" + name + "}"
                break
    # What a converter has changed is not found, and may be somebody's.
    return "/".join("{id}" if hidden(part) == MASK else part for part in parts), named


def _login() -> str:
    from django.conf import settings
    from django.shortcuts import resolve_url

    with contextlib.suppress(Exception):
        return str(resolve_url(settings.LOGIN_URL))[:LONGEST]
    return ""


def _leaves(value: Any, place: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, (*place, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _leaves(each, (*place, number))
    else:
        yield place, value
