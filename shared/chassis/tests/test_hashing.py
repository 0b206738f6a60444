"""Who hashes a password, who waits for it, and that others work meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from chassis.identity import hashing
from chassis.identity.hashing import Hashing
from chassis.process import admission, clients
from chassis.process.admission import Admission, AdmissionMiddleware
from chassis.rest.errors import Busy
from django.contrib.auth import hashers
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory
from prometheus_client import REGISTRY

DEADLINE = 20.0


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def waiting() -> float:
    return REGISTRY.get_sample_value("chassis_hashing_waiting") or 0.0


def quiet() -> float:
    """How many wait once those of an earlier test have gone: none."""
    eventually(lambda: waiting() == 0.0)
    return 0.0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Admission:
    """A process in which one request works at a time."""
    monkeypatch.setattr(admission, "_process", Admission(1))
    return admission._process


class Login:
    """A request that comes to hash, and hashes until it is let go."""

    def __init__(self, hashing: Hashing, came: list[object] | None = None, *, atomic: bool = False) -> None:
        self._hashing, self._atomic = hashing, atomic
        self._came: list[object] = [] if came is None else came
        self._go = threading.Event()
        self.hashing = threading.Event()
        self.ended = threading.Event()
        self.refused: Busy | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def let_go(self) -> None:
        self._go.set()
        assert self.ended.wait(DEADLINE)

    def _run(self) -> None:
        try:
            with admission._process.at_work():
                if self._atomic:
                    with transaction.atomic():
                        self._hash()
                else:
                    self._hash()
        except Busy as busy:
            self.refused = busy
        finally:
            self.ended.set()

    def _hash(self) -> None:
        with self._hashing.place():
            self._came.append(self)
            self.hashing.set()
            self._go.wait(DEADLINE)


def read() -> threading.Event:
    """A request that only reads: set when it was let in."""
    inside = threading.Event()

    def run() -> None:
        with admission._process.at_work():
            inside.set()

    threading.Thread(target=run, daemon=True).start()
    return inside


def begin(places: Hashing, count: int, came: list[object] | None = None) -> list[Login]:
    """So many logins, each when the one before it hashes or waits."""
    before, logins = quiet(), []
    for number in range(count):
        logins.append(Login(places, came))
        if number:
            eventually(lambda number=number: waiting() == before + number)
        else:
            assert logins[0].hashing.wait(DEADLINE)
    return logins


def test_a_read_is_let_in_while_sixteen_wait_to_hash(work):
    logins = begin(Hashing(1, queue=16), 17)

    assert read().wait(DEADLINE)
    assert [login.hashing.is_set() for login in logins].count(True) == 1
    for login in logins:
        login.let_go()


def test_they_hash_in_the_order_in_which_they_came(work):
    came: list[object] = []
    logins = begin(Hashing(1, queue=4), 5, came)

    for login in logins:
        login.let_go()

    assert came == logins


def test_two_places_are_taken_by_two(work):
    places = Hashing(2, queue=1)
    first, second = Login(places), Login(places)

    assert first.hashing.wait(DEADLINE)
    assert second.hashing.wait(DEADLINE)
    first.let_go()
    second.let_go()


def test_whoever_comes_when_the_queue_is_full_is_refused_at_once(work):
    places = Hashing(1, queue=2)
    logins = begin(places, 3)

    late = Login(places)

    assert late.ended.wait(DEADLINE)
    assert late.refused is not None
    assert late.refused.wait == hashing.RETRY_AFTER_SECONDS
    for login in logins:
        login.let_go()
    assert [login.refused for login in logins] == [None, None, None]
    Login(places).let_go()


def test_whoever_has_waited_for_too_long_is_refused_and_keeps_no_place(work):
    places = Hashing(1, queue=2, patience=0.05)
    first = Login(places)
    assert first.hashing.wait(DEADLINE)

    impatient = Login(places)

    assert impatient.ended.wait(DEADLINE)
    assert impatient.refused is not None
    first.let_go()
    after = Login(places)
    assert after.hashing.wait(DEADLINE)
    after.let_go()


def test_a_place_is_free_again_after_an_error(work):
    places = Hashing(1, queue=0)
    with pytest.raises(ZeroDivisionError), places.place():
        raise ZeroDivisionError

    with places.place():
        pass


@pytest.mark.django_db(transaction=True)
def test_of_those_in_a_transaction_one_waits(monkeypatch):
    monkeypatch.setattr(admission, "_process", Admission(4))
    places, before = Hashing(1, queue=8), quiet()
    first = Login(places, atomic=True)
    assert first.hashing.wait(DEADLINE)
    second = Login(places, atomic=True)
    eventually(lambda: waiting() == before + 1)

    third = Login(places, atomic=True)

    assert third.ended.wait(DEADLINE)
    assert third.refused is not None
    outside = Login(places)
    eventually(lambda: waiting() == before + 2)
    for login in (first, second, outside):
        login.let_go()
        assert login.refused is None


@pytest.mark.parametrize(
    "hash",
    [
        pytest.param(lambda: hashers.make_password("secret"), id="new"),
        pytest.param(lambda: hashers.check_password("secret", KNOWN), id="right"),
        pytest.param(lambda: hashers.check_password("wrong", KNOWN), id="wrong"),
    ],
)
def test_every_hash_takes_a_place(monkeypatch, hash):
    places = Hashing(1, queue=0)
    monkeypatch.setattr(hashing, "process", places)
    hash()

    with places.place(), pytest.raises(Busy):
        hash()


KNOWN = hashers.PBKDF2PasswordHasher().encode("secret", "salt", 1000)


@pytest.mark.parametrize(("told", "places"), [("", 1), ("3", 3), ("0", 1)])
def test_the_environment_says_how_many_places_there_are(monkeypatch, told, places):
    monkeypatch.setenv("WEB_HASHING", told)
    assert hashing.settings.hashing_places() == places


@pytest.mark.parametrize(("threads", "queue"), [("2", 1), ("8", 4), ("32", 8), ("64", 16)])
def test_the_queue_grows_with_the_threads(monkeypatch, threads, queue):
    monkeypatch.setenv("WEB_THREADS", threads)
    assert hashing.settings.hashing_queue() == queue


class Client(Login):
    """A login of a client."""

    def __init__(self, places: Hashing, name: str, came: list[object] | None = None) -> None:
        self._name = name
        super().__init__(places, came)

    def _run(self) -> None:
        with clients.asking(RequestFactory().get("/", headers={"x-forwarded-for": self._name})):
            super()._run()


def queue(places: Hashing, names: list[str], came: list[object] | None = None) -> list[Client]:
    """One after the other, the first of whom hashes and the others wait."""
    before, logins = quiet(), []
    for number, name in enumerate(names):
        logins.append(Client(places, name, came))
        if number:
            eventually(lambda number=number: waiting() == before + number)
        else:
            assert logins[0].hashing.wait(DEADLINE)
    return logins


def test_one_client_s_queue_is_nobody_else_s():
    came: list[object] = []
    *many, other = queue(Hashing(1, queue=8), [*["10.0.0.1"] * 4, "10.0.0.2"], came)

    for login in (many[0], many[1], other, many[2], many[3]):
        login.let_go()

    assert came == [many[0], many[1], other, many[2], many[3]]


def test_who_comes_to_a_full_queue_takes_the_place_of_the_last_of_those_that_have_most():
    places = Hashing(1, queue=3)
    logins = queue(places, ["10.0.0.1"] * 4)

    other = Client(places, "10.0.0.2")

    assert logins[3].ended.wait(DEADLINE)
    assert logins[3].refused is not None
    more = Client(places, "10.0.0.1")
    assert more.ended.wait(DEADLINE)
    assert more.refused is not None
    for login in (*logins[:2], other, logins[2]):
        login.let_go()
        assert login.refused is None
    Client(places, "10.0.0.1").let_go()


def test_who_waits_to_hash_is_one_who_only_waits(monkeypatch, settings):
    settings.CHASSIS_WAIT_LIMIT = 1
    places = Hashing(1, queue=3)
    logins = queue(places, ["10.0.0.1"] * 2)

    late = Client(places, "10.0.0.2")

    assert late.ended.wait(DEADLINE)
    assert late.refused is not None
    for login in logins:
        login.let_go()


def test_a_request_hashes_for_its_client(monkeypatch):
    seen = []
    get = AdmissionMiddleware(lambda _: seen.append(clients.present()) or HttpResponse())

    get(RequestFactory().get("/", headers={"x-forwarded-for": "made-up, 2001:db8::1:2:3"}))
    get(RequestFactory().get("/", headers={"x-forwarded-for": "::ffff:10.0.0.1"}))
    get(RequestFactory().get("/", REMOTE_ADDR="10.0.0.2"))
    get(RequestFactory().get("/", headers={"x-forwarded-for": "no address"}))

    assert seen == ["2001:db8::/64", "10.0.0.1", "10.0.0.2", "no address"]
    assert clients.present() == ""
