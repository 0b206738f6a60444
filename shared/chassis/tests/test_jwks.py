from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from chassis.identity import jwks, keys, tokens
from chassis.servers import warmth
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User
from library.shelf import Answer, Shelf
from library.waiting import until
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def publishing(**named) -> Answer:
    """A key set with these keys."""
    members = [{"kid": kid, "use": "sig", "alg": "EdDSA", **keys.web_key(key)} for kid, key in named.items()]
    return Answer(body=json.dumps({"keys": members}).encode())


def new_key():
    return Ed25519PrivateKey.generate().public_key()


def reading(shelf: Shelf, clock: Clock) -> jwks.RemoteKeys:
    return jwks.RemoteKeys(shelf.url, age=300, pause=30, clock=clock)


def knows(remote: jwks.RemoteKeys, kid: str) -> bool:
    try:
        remote.key(kid)
    except KeyError:
        return False
    return True


def test_a_key_is_fetched_once_and_kept(clock):
    first = new_key()
    with Shelf(publishing(a=first)) as shelf:
        remote = reading(shelf, clock)

        assert [remote.key("a") for _ in range(5)] == [first] * 5
    assert len(shelf.received) == 1


def test_threads_that_come_at_once_make_one_request(clock):
    first = new_key()
    with Shelf(publishing(a=first)) as shelf, ThreadPoolExecutor(8) as pool:
        remote = reading(shelf, clock)

        assert list(pool.map(lambda _: remote.key("a"), range(32))) == [first] * 32
    assert len(shelf.received) == 1


def test_aged_keys_go_on_being_used_while_they_are_fetched_anew(clock):
    fetching = threading.Event()
    first = new_key()
    slow = publishing(b=new_key())
    slow = Answer(body=slow.body, until=fetching)
    with Shelf(publishing(a=first), slow) as shelf:
        remote = reading(shelf, clock)
        remote.key("a")
        clock.now += 301

        assert remote.key("a") == first
        until(lambda: len(shelf.received) == 2)
        assert remote.key("a") == first
        fetching.set()
        until(lambda: not knows(remote, "a"))  # it has been withdrawn
    assert len(shelf.received) == 2


def test_while_the_source_is_down_the_old_keys_are_used_and_it_is_asked_now_and_then(clock, caplog):
    first = new_key()
    with Shelf(publishing(a=first), Answer(500)) as shelf:
        remote = reading(shelf, clock)
        remote.key("a")
        for asked in (2, 3):
            clock.now += 301
            assert remote.key("a") == first
            until(lambda asked=asked: len(shelf.received) == asked and not remote._lock.locked())
            assert remote.key("a") == first
    assert len(shelf.received) == 3
    assert "jwks_unavailable" in caplog.messages


def test_keys_that_were_fetched_too_long_ago_are_not_used_until_the_source_answers(clock):
    """A key that has been withdrawn meanwhile must not be good for ever."""
    first = new_key()
    with Shelf(publishing(a=first), Answer(500), Answer(500), publishing(a=first)) as shelf:
        remote = jwks.RemoteKeys(shelf.url, age=300, kept=3600, pause=30, clock=clock)
        remote.key("a")
        clock.now += 3599
        assert remote.key("a") == first
        until(lambda: len(shelf.received) == 2 and not remote._lock.locked())

        clock.now += 1
        for _ in range(5):
            with pytest.raises(jwks.KeysUnavailable):
                remote.key("a")
        assert len(shelf.received) == 3

        clock.now += 1
        assert remote.key("a") == first


def test_an_unknown_key_makes_it_be_fetched_at_most_once_in_a_while(clock):
    second = new_key()
    with Shelf(publishing(a=new_key()), publishing(b=second)) as shelf:
        remote = reading(shelf, clock)
        remote.key("a")
        for _ in range(5):
            with pytest.raises(KeyError):
                remote.key("b")
        assert len(shelf.received) == 1

        clock.now += 30
        assert remote.key("b") == second
        for _ in range(5):
            with pytest.raises(KeyError):
                remote.key("nobody's")
    assert len(shelf.received) == 2


def test_of_an_unknown_key_nothing_is_said_while_the_source_is_down(clock):
    with Shelf(publishing(a=new_key()), Answer(500)) as shelf:
        remote = reading(shelf, clock)
        remote.key("a")
        clock.now += 30

        with pytest.raises(jwks.KeysUnavailable):
            remote.key("b")


def test_a_source_that_was_never_up_is_asked_again_after_a_second(clock):
    first = new_key()
    with Shelf(Answer(500), publishing(a=first)) as shelf:
        remote = reading(shelf, clock)
        for _ in range(3):
            with pytest.raises(jwks.KeysUnavailable):
                remote.key("a")
        assert len(shelf.received) == 1

        clock.now += 1
        assert remote.key("a") == first


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404),
        Answer(307, headers={"Location": "/elsewhere"}),
        Answer(body=b"<html>"),
        Answer(body=b"[]"),
        Answer(body=b'{"keys": 7}'),
        Answer(body=b'{"keys": [7]}'),
        Answer(body=b'{"keys": []}'),
        Answer(body=b'{"keys": [{"kid": "a", "kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'),
        Answer(body=b'{"keys": [{"kid": "a", "kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]}'),
        Answer(cut=True),
    ],
)
def test_what_is_no_key_set_of_ours_is_an_error(answer):
    with Shelf(answer) as shelf, pytest.raises(jwks.SourceError):
        jwks.fetch(shelf.url)


def test_keys_of_other_kinds_stand_beside_ours_and_are_left_out():
    ours = publishing(a=new_key())
    others = [{"kid": "r", "kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "OKP"}]
    both = json.dumps({"keys": [*others, *json.loads(ours.body)["keys"]]}).encode()
    with Shelf(Answer(body=both)) as shelf:
        assert set(jwks.fetch(shelf.url)) == {"a"}


class TestTokens:
    """Of a process that holds no key."""

    @pytest.fixture
    def token(self, key_file) -> str:
        return tokens.issue(User(pk=7, is_staff=True)).access

    @pytest.fixture
    def published(self, key_file, token) -> Answer:
        return Answer(body=json.dumps(tokens.jwks()).encode())

    def without_key(self, settings, shelf: Shelf) -> None:
        settings.TOKEN_KEY_FILE = ""
        settings.CHASSIS_ACCOUNTS = "remote"
        settings.CHASSIS_JWKS_URL = shelf.url

    def test_a_token_is_verified_by_what_is_published(self, token, published, settings):
        with Shelf(published) as shelf:
            self.without_key(settings, shelf)

            principal = tokens.bearer(token)

        assert (principal.pk, principal.is_staff) == (7, True)

    def test_a_token_of_another_key_is_refused(self, token, settings):
        with Shelf(publishing(another=new_key())) as shelf:
            self.without_key(settings, shelf)

            with pytest.raises(tokens.TokenError, match="unknown key"):
                tokens.bearer(token)

    def test_while_the_source_is_down_a_client_is_told_to_come_again_and_not_that_it_is_wrong(self, token, settings):
        with Shelf(Answer(500)) as shelf:
            self.without_key(settings, shelf)
            request = Request(APIRequestFactory().get("/", headers={"authorization": f"Bearer {token}"}))

            with pytest.raises(APIException) as caught:
                tokens.TokenAuthentication().authenticate(request)

        assert caught.value.status_code == 503

    def test_a_worker_has_them_before_its_first_request(self, token, published, settings):
        with Shelf(published) as shelf, ThreadPoolExecutor(1) as threads:
            self.without_key(settings, shelf)
            warmth.warm(threads, connections=0)
            assert len(shelf.received) == 1

            tokens.bearer(token)
        assert len(shelf.received) == 1

    def test_a_worker_starts_while_the_source_is_down(self, settings, caplog, monkeypatch):
        # Nobody goes on asking, and complaining, in the tests to come.
        monkeypatch.setattr(jwks.RemoteKeys, "_warm_up", lambda self: None)
        with Shelf(Answer(500)) as shelf, ThreadPoolExecutor(1) as threads:
            self.without_key(settings, shelf)

            warmth.warm(threads, connections=0)

        assert caplog.messages[0] == "jwks_unavailable"

    def test_a_worker_that_started_before_the_source_has_them_all_the_same(self, token, published, settings):
        with Shelf(Answer(500), published) as shelf, ThreadPoolExecutor(1) as threads:
            self.without_key(settings, shelf)
            warmth.warm(threads, connections=0)
            until(lambda: tokens.remote_keys()._keys)

            tokens.bearer(token)
        assert len(shelf.received) == 2

    def test_a_process_with_a_key_asks_nobody(self, token, settings):
        with Shelf() as shelf:
            settings.CHASSIS_JWKS_URL = shelf.url
            settings.CHASSIS_ACCOUNTS = "remote"

            assert tokens.bearer(token).pk == 7
        assert shelf.received == []
