"""What must hold with every version of Django; run by ``tests.versions.test_versions`` in an environment of its own."""

from __future__ import annotations

import asyncio
import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from typing import Any

import pytest
from chassis import agreement
from chassis.identity import telling
from chassis.ownership import fence
from chassis.ownership.holding import Holding
from chassis.process import telemetry
from chassis.process.logs import Complaint
from chassis.references import sweeping
from chassis.testing.sides import Side
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connection, connections
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings
from shelf.models import Book, Visit
from shelf.urls import meanwhile

pytestmark = pytest.mark.django_db(transaction=True)
bare = pytest.mark.skipif(find_spec("rest_framework") is not None, reason="REST framework is installed")
Answer = tuple[int, dict[str, str], bytes]
Ask = Callable[..., "Future[Answer]"]


@pytest.fixture(autouse=True)
def holding(monkeypatch: pytest.MonkeyPatch) -> Holding:
    found = Holding()
    monkeypatch.setattr(fence, "Holding", lambda: found)
    meanwhile.clear()
    return found


@pytest.fixture
def side(holding: Holding) -> Iterator[Side]:
    with Side("books", tables=["public.shelf_book"], routes=[("", "/books.*")]) as found:
        yield found


def by_wsgi(method: str, path: str, body: bytes, cookie: str = "") -> Answer:
    try:
        answer = Client(raise_request_exception=False).generic(
            method, path, body, content_type="application/json", HTTP_COOKIE=cookie
        )
        return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content
    finally:
        connections.close_all()


def by_asgi(method: str, path: str, body: bytes, cookie: str = "") -> Answer:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"library.example"),
            (b"content-length", str(len(body)).encode()),
            (b"cookie", cookie.encode()),
        ],
        "server": ("127.0.0.1", 80),
    }

    async def run() -> None:
        left, gone = [{"type": "http.request", "body": body}], asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not left:
                await gone.wait()
            return left.pop()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await get_asgi_application()(scope, receive, send)

    asyncio.run(run())
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture(params=[by_wsgi, by_asgi])
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    with ThreadPoolExecutor(4) as pool:
        yield lambda path, method="POST", body=b"{}": pool.submit(request.param, method, path, body)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def written() -> tuple[int, int]:
    return Visit.objects.count(), Book.objects.count()


def test_migrations_and_checks_are_content() -> None:
    call_command("check", fail_level="ERROR")
    call_command("makemigrations", "chassis", check_changes=True, dry_run=True, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chassis_outbox (message_id, capability, type, key, destination, lane, body) "
            "VALUES (gen_random_uuid(), '', '', '', '', 0, '') RETURNING attempts, error, created_at <= now()"
        )
        assert cursor.fetchone() == (0, "", True)


def test_health_is_answered(ask: Ask) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(path, "GET", b"").result(60)[0] == 200


@pytest.mark.parametrize("path", ["/books", "/books/async"])
def test_an_open_side_answers_and_one_that_has_handed_over_bounces(side: Side, ask: Ask, path: str) -> None:
    assert ask(path, body=b"[1]").result(60)[0] == 201
    side.hand_over()

    status, headers, _ = ask(path).result(60)

    assert (status, headers["x-strangler-to"]) == (307, "service")
    assert written() == (1, 1)


@pytest.mark.parametrize("path", ["/books", "/books/async", "/visits"])
def test_a_view_that_meets_the_fence_is_held_and_run_again(side: Side, ask: Ask, holding: Holding, path: str) -> None:
    meanwhile.append(side.fence)

    answer = ask(path, body=b"[1]")
    until(lambda: holding._waiting == 1)
    side.reopen()

    status, _, content = answer.result(60)
    assert (status, json.loads(content)) == (201, {"body": "[1]"})
    assert written() == (1, 1)


def test_a_write_that_can_never_succeed_says_so(side: Side, ask: Ask) -> None:
    side.hand_over()

    assert ask("/visits").result(60)[0] == 501
    assert written() == (0, 0)


def test_a_row_that_is_on_its_way_is_waited_for(side: Side, ask: Ask, holding: Holding) -> None:
    side.hand_over()
    arrived = threading.Timer(0.1, side.arrive, ["INSERT INTO shelf_book (id, title) VALUES (7, 'Emma')"])
    arrived.start()

    status, _, content = ask("/visits/7", "GET", b"").result(60)
    arrived.join()

    assert (status, json.loads(content)) == (200, {"title": "Emma"})


def test_what_cannot_be_bounced_is_forwarded(side: Side, ask: Ask, settings: Any) -> None:
    settings.CHASSIS_BOUNCE_LIMIT = 1

    class Peer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Peer) as peer:
        served = threading.Thread(target=peer.serve_forever)
        served.start()
        try:
            side.execute("UPDATE strangler.side SET peer_url = %s", f"http://127.0.0.1:{peer.server_port}")
            side.hand_over()
            status, _, content = ask("/books", body=b"[1, 2]").result(60)
        finally:
            peer.shutdown()
            served.join()

    assert (status, content) == (201, b"[1, 2]")


def test_the_sweep_does_what_on_delete_says(side: Side) -> None:
    book = Book.objects.create(title="Emma")
    Visit.objects.create(note="read", book=book)
    side.hand_over()
    side.execute(
        "ALTER TABLE shelf_visit DISABLE TRIGGER ALL; "
        "INSERT INTO strangler.orphan (capability, table_name, key, columns, relation) "
        f"VALUES ('books', 'shelf_book', '{book.pk}', '{{\"id\": \"{book.pk}\"}}', 'public.shelf_book')"
    )
    side.arrive("DELETE FROM shelf_book WHERE id = %s", book.pk)
    side.execute("ALTER TABLE shelf_visit ENABLE TRIGGER ALL")

    assert sweeping.sweep() == 1

    assert [visit.book_id for visit in Visit.objects.all()] == [None]


@pytest.fixture
def house(settings: Any) -> Iterator[str]:
    """Has the users, and answers whose a session is: this project, as it is without an address to ask."""

    class House(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name = f"HTTP_{agreement.SIGNATURE.upper().replace('-', '_')}"
            request = RequestFactory().post(
                self.path, body, "application/json", **{name: self.headers[agreement.SIGNATURE]}
            )
            with override_settings(CHASSIS_IDENTITY_URL=""):
                answer = telling.answer(request)
            connections.close_all()
            self.send_response(answer.status_code)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None: ...

    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.CHASSIS_IDENTITY_SECRETS = ["a secret of more than thirty-two characters"]
    settings.MIDDLEWARE = ["chassis.identity.sessions.IdentityMiddleware", *settings.MIDDLEWARE]
    settings.CHASSIS_IDENTITY_SECONDS = 0
    with HTTPServer(("127.0.0.1", 0), House) as server:
        settings.CHASSIS_IDENTITY_URL = f"http://127.0.0.1:{server.server_port}"
        served = threading.Thread(target=server.serve_forever)
        served.start()
        try:
            yield settings.CHASSIS_IDENTITY_URL
        finally:
            server.shutdown()
            served.join()


@pytest.mark.parametrize("path", ["/me", "/me/async"])
@pytest.mark.parametrize("by", [by_wsgi, by_asgi])
def test_users_of_another_side_are_known_by_its_sessions(
    house: str, by: Callable[..., Answer], path: str, settings: Any
) -> None:
    call_command("check", fail_level="ERROR")
    user = User.objects.create_user("ada")
    login = HttpRequest()
    login.session = SessionStore()
    auth.login(login, user, backend="django.contrib.auth.backends.ModelBackend")
    login.session["seat"] = 7
    login.session.save()
    cookie = f"sessionid={login.session.session_key}"

    known, unknown = by("GET", path, b"", cookie=cookie), by("GET", path, b"", cookie=cookie[:-1])
    User.objects.update(is_active=False)
    gone = by("GET", path, b"", cookie=cookie)
    settings.CHASSIS_IDENTITY_URL = "http://127.0.0.1:1"
    away = by("GET", path, b"", cookie=cookie)

    assert (known[0], json.loads(known[2])) == (200, {"name": "ada", "seat": 7})
    assert [(status, headers["location"]) for status, headers, _ in (unknown, gone)] == [
        (302, f"/accounts/login/?next={path}")
    ] * 2
    assert (away[0], away[1]["retry-after"]) == (503, "2")


@bare
@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("chassis.rest.idempotency", "rest"),
        ("chassis.identity.tokens", "identity"),
        ("chassis.identity.authtokens", "rest"),
        ("chassis.calls.client", "calls"),
        ("chassis.messages.relay", "messages"),
        ("chassis.servers.worker", "messages"),
    ],
)
def test_what_is_not_installed_is_named_with_what_brings_it(module: str, extra: str) -> None:
    with pytest.raises(ImportError, match=rf"is not installed, .* install strangler-chassis\[{extra}\]"):
        importlib.import_module(module)


def asked_for(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The environment asks for traces, of a process that has not begun any."""
    monkeypatch.setattr(telemetry, "_started", False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


@pytest.mark.skipif(find_spec("opentelemetry") is not None, reason="OpenTelemetry is installed")
def test_traces_that_nothing_can_make_say_what_to_install_and_disturb_no_request(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "_off", Complaint(telemetry.logger, "tracing_off"))
    asked_for(monkeypatch, "http://127.0.0.1:1")

    assert ask("/books").result(60)[0] == 201
    until(lambda: [record for record in caplog.records if record.message == "tracing_off"])

    (told,) = [record for record in caplog.records if record.message == "tracing_off"]
    assert "strangler-chassis[tracing]" in told.reason
    assert not telemetry.start("web")
    assert ask("/books").result(60)[0] == 201


@pytest.mark.skipif(find_spec("opentelemetry") is None, reason="OpenTelemetry is not installed")
def test_where_opentelemetry_is_installed_requests_and_statements_are_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.otlp import Collector, Span

    def below(spans: list[Span], name: str) -> set[str]:
        return {each.name for span in spans if span.name == name for each in spans if each.parent_id == span.span_id}

    with Collector() as collector:
        asked_for(monkeypatch, collector.endpoint)
        assert telemetry.start("web")
        try:
            assert by_wsgi("POST", "/books", b"[1]")[0] == 201
            assert by_asgi("POST", "/books/async", b"[1]")[0] == 201
            spans = collector.await_(
                lambda spans: below(spans, "POST /books") and below(spans, "POST /books/async"), "spans of both"
            )
        finally:
            telemetry.stop()

    for name in ("POST /books", "POST /books/async"):
        assert {"INSERT shelf_visit", "INSERT shelf_book"} <= below(spans, name)


@bare
def test_messages_that_nobody_could_publish_are_an_error(settings: Any) -> None:
    from django.core.checks import run_checks

    settings.CHASSIS_CONSUMES = {"books": []}

    assert [each.id for each in run_checks(tags=["chassis"]) if each.is_serious()] == ["chassis.E016"]


@pytest.mark.skipif(find_spec("axes") is None, reason="django-axes is not installed")
@pytest.mark.parametrize("moving", [False, True], ids=["before a move", "in a move"])
def test_a_package_that_counts_failed_logins_counts_them(request: pytest.FixtureRequest, moving: bool) -> None:
    from axes.models import AccessAttempt

    if moving:
        request.getfixturevalue("side")

    statuses = [by_wsgi("POST", "/login", b"{}")[0] for _ in range(4)]

    assert statuses == [403, 403, 429, 429]
    assert [attempt.failures_since_start for attempt in AccessAttempt.objects.all()] == [4]
