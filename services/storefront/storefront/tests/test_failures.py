"""Whatever the interface does, a visitor gets a page with a sentence."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from storefront import interface


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        ((503, {"detail": "users is changing hands"}, {"Retry-After": "3"}), 503, "try again in 3 seconds"),
        ((503, b"<html>upstream connect error", {}), 503, "very busy"),
        ((429, {"detail": "throttled"}, {"Retry-After": "600"}), 429, "try again in 10 minutes"),
        ((500, {"detail": "An error of the server."}, {}), 502, "made an error"),
        ((200, b"<html>no json", {}), 502, "cannot be read"),
        ((307, {}, {"Location": "http://elsewhere"}), 502, "made an error"),
        ((404, {"detail": "Invalid cursor"}, {}), 404, "no such thing"),
        ((422, {"detail": "This contradicts."}, {}), 422, "This contradicts."),
        ((409, {"detail": "Not now."}, {}), 409, "Not now."),
    ],
)
def test_what_is_not_answered_becomes_a_sentence(browser, api, answer, status, told) -> None:
    api.give("GET", "/api/v1/products", answer)

    page = browser.get("/")
    part = browser.get("/", headers={"HX-Request": "true"})

    assert page.status_code == part.status_code == status
    assert told in page.text
    assert told in part.text
    assert "<html" in page.text
    assert "<html" not in part.text
    assert "Traceback" not in page.text


def test_a_busy_shop_says_when_to_come_again(browser, api) -> None:
    api.give("GET", "/api/v1/products", (503, {}, {"Retry-After": "3"}))

    assert browser.get("/").headers["Retry-After"] == "3"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((503, {}, {}), "very busy"),
        ((422, {"detail": "This Idempotency-Key was used with another body."}, {}), "used with another body"),
        ((409, {"detail": "Not now."}, {}), "Not now."),
        ((400, {"lines": ["Product 7 cannot be ordered."]}, {}), "Product 7 cannot be ordered."),
        ((429, {}, {"Retry-After": "9"}), "in 9 seconds"),
    ],
)
def test_an_order_that_came_to_nothing_leaves_the_cart_under_its_key(ada, api, key_of, answer, told) -> None:
    api.give("POST", "/api/v1/orders", answer)
    key = key_of(ada)

    page = ada.post("/checkout", {"key": key})

    assert page.status_code == answer[0]
    assert told in page.text
    assert f'name="key" value="{key}"' in page.text


def test_a_shop_that_is_away_shows_a_page(browser, settings) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.GATEWAY_URL = f"http://127.0.0.1:{nobody.getsockname()[1]}"

        page = browser.get("/")

    assert page.status_code == 503
    assert "does not answer" in page.text
    assert 'href="/"' in page.text


def test_a_page_waits_no_longer_than_it_may_for_all_questions_together(browser, api, settings) -> None:
    settings.API_SECONDS = 1
    waiting = threading.Event()
    api.give("GET", "/api/v1/products", lambda _: (waiting.wait(20), {})[1])

    began = time.monotonic()
    page = browser.get("/")
    took = time.monotonic() - began
    waiting.set()

    assert page.status_code == 503
    assert took < 10


def test_an_answer_that_never_ends_is_given_up(browser, settings) -> None:
    settings.API_SECONDS = 1
    with socket.create_server(("127.0.0.1", 0)) as server, _Dripping(server):
        settings.GATEWAY_URL = f"http://127.0.0.1:{server.getsockname()[1]}"

        assert browser.get("/").status_code == 503


def test_an_order_without_an_answer_may_be_sent_again(ada, api, key_of, settings) -> None:
    key = key_of(ada)
    settings.API_SECONDS = 1
    waiting = threading.Event()
    api.give("POST", "/api/v1/orders", lambda _: (waiting.wait(20), {})[1])

    page = ada.post("/checkout", {"key": key})
    waiting.set()

    assert page.status_code == 503
    assert "it comes only once" in page.text
    assert f'name="key" value="{key}"' in page.text


def test_a_shop_that_fails_again_and_again_is_left_alone_for_a_moment(browser, settings) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.GATEWAY_URL = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for _ in range(10):
            browser.get("/")

    assert interface._gateway().circuit.state == "open"


def test_departments_that_are_known_outlast_a_failure(browser, api, monkeypatch) -> None:
    browser.get("/")
    api.give("GET", "/api/v1/categories", (503, {}, {}))
    monkeypatch.setattr(interface, "CATEGORIES_SECONDS", 0.0)

    assert "Dairy" in browser.get("/").text


@pytest.mark.parametrize("path", ["/nowhere", "/products/x", "/products/7/"])
def test_there_is_a_page_for_what_is_not_there(browser, api, path) -> None:
    page = browser.get(path)

    assert page.status_code == 404
    assert "no such page" in page.text


def test_a_mistake_of_ours_is_a_page_too(browser, api, monkeypatch) -> None:
    browser.raise_request_exception = False
    api.give("GET", "/api/v1/products", {"unexpected": True})

    page = browser.get("/")

    assert page.status_code == 500
    assert "has been noted" in page.text


class _Dripping:
    """Sends an answer byte by byte, for ever."""

    def __init__(self, server: socket.socket) -> None:
        self._server, self._over = server, threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not self._over.wait(0.05):
                    connection.sendall(b" ")
            except OSError:
                return
