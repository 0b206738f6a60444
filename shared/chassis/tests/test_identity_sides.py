"""Users of the house, known on the stage by their session or their token: real processes on both sides."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import psycopg
import pytest
from chassis import agreement
from chassis.identity.telling import ANSWER, LARGEST_BYTES, PATH
from chassis.ownership import sealing
from library.programs import Running
from library.waiting import until
from server_node import ServerNode
from theatre.company import COOKIE, SECRET, Company, Person, ask, company, lookups

ODD = [
    "a",
    "x" * 32,
    "x" * 41,
    "x" * 5000,
    "%00" * 8,
    "é" * 8,
    "'; DROP TABLE auth_user; --",
    "../../etc/passwd",
    '""',
]
VIEWS = pytest.mark.parametrize("path", ["/me", "/async/me"], ids=["synchronous", "asynchronous"])


@pytest.fixture(scope="module")
def ground(shared_server: ServerNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    shared_server.start()
    with company(shared_server, tmp_path_factory.mktemp("company")) as made:
        yield made


@pytest.fixture(scope="module", params=[False, True], ids=["WSGI", "ASGI"])
def stage(ground: Company, request: pytest.FixtureRequest) -> Iterator[Running]:
    """Uses no answer twice."""
    with ground.stage(asynchronous=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def kept(ground: Company) -> Iterator[Running]:
    """Uses an answer for as long as these tests last."""
    with ground.stage(seconds=3600) as running:
        yield running


@pytest.fixture
def person(ground: Company) -> Person:
    return Person(ground).log_in()


def token(key: str) -> dict[str, str]:
    return {"Authorization": f"Token {key}"}


@VIEWS
def test_a_session_of_the_house_is_known_on_the_stage(ground: Company, stage: Running, path: str) -> None:
    person = Person(ground, email="ada@example.com", permissions=["view_user"], groups=["cast", "crew"]).log_in()

    told = person.ask(stage, path).json()

    assert (
        told.items()
        >= {
            "id": person.id,
            "name": person.name,
            "email": "ada@example.com",
            "staff": False,
            "superuser": False,
            "may": ["auth.view_user"],
            "groups": ["cast", "crew"],
            "seat": {"row": 7, "for": person.name},
        }.items()
    )


@VIEWS
@pytest.mark.exhaustive
@pytest.mark.parametrize("key", [None, *ODD])
def test_whoever_has_no_session_is_led_to_the_login(stage: Running, path: str, key: str | None) -> None:
    answer = ask(stage, path, headers={} if key is None else [(b"Cookie", f"{COOKIE}={key}".encode())])

    assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/login")


@VIEWS
def test_a_logout_ends_it_at_once_where_no_answer_is_kept(stage: Running, person: Person, path: str) -> None:
    cookies = person.cookies
    assert person.ask(stage, path).status_code == 200

    person.house("/logout")

    assert ask(stage, path, cookies=cookies).status_code == 302


def test_so_does_a_new_password_for_all_sessions_but_the_one_that_set_it(stage: Running, person: Person) -> None:
    elsewhere = httpx.Cookies(person.cookies)
    person.log_in()

    person.house("/password")

    assert ask(stage, "/me", cookies=elsewhere).status_code == 302
    assert person.ask(stage, "/me").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE auth_user SET is_active = false WHERE id = {id}",
        "UPDATE auth_user SET password = 'md5$x$y' WHERE id = {id}",
        "UPDATE django_session SET expire_date = now() - interval '1 second' WHERE session_key = '{key}'",
        "DELETE FROM django_session WHERE session_key = '{key}'",
    ],
    ids=["deactivated", "another password", "expired", "deleted"],
)
def test_so_does_whatever_ends_a_session_in_the_house(
    ground: Company, stage: Running, person: Person, change: str
) -> None:
    assert person.ask(stage, "/me").status_code == 200

    with psycopg.connect(ground.url) as session:
        session.execute(change.format(id=person.id, key=person.key).encode())

    assert person.ask(stage, "/me").status_code == 302
    assert person.ask(stage, "/async/me").status_code == 302


def test_a_look_from_the_stage_leaves_the_session_as_it_is(ground: Company, stage: Running, person: Person) -> None:
    def row() -> Any:
        with psycopg.connect(ground.url) as session:
            return session.execute("SELECT * FROM django_session WHERE session_key = %s", [person.key]).fetchone()

    before = row()
    with psycopg.connect(ground.url) as session:
        session.execute("UPDATE auth_user SET password = 'md5$x$y' WHERE id = %s", [person.id])
    assert person.ask(stage, "/me").status_code == 302

    assert row() == before


def test_decorators_mixins_and_permissions_of_rest_framework_work(ground: Company, stage: Running) -> None:
    nothing = Person(ground).log_in()
    some = Person(ground, permissions=["view_user", "change_user"], is_staff=True).log_in()
    everything = Person(ground, is_superuser=True).log_in()

    def statuses(path: str, method: str = "GET", **content: Any) -> list[int]:
        return [each.ask(stage, path, method, **content).status_code for each in (nothing, some, everything)]

    assert statuses("/change") == [403, 204, 204]
    assert statuses("/cast") == [403, 204, 204]
    assert statuses("/api/staff") == [403, 200, 403]
    assert statuses("/behind") == [200, 200, 200]
    assert ask(stage, "/behind").status_code == 403
    by_token = [ask(stage, "/api/users", "POST", headers=token(each.token)) for each in (nothing, some, everything)]
    assert [answer.status_code for answer in by_token] == [403, 403, 201]


def test_a_form_goes_to_the_stage_with_the_token_of_the_house(stage: Running, person: Person) -> None:
    given = person.house("/form", method="GET").text

    assert person.ask(stage, "/post", "POST", data={"csrfmiddlewaretoken": given}).json() == {"name": person.name}
    assert person.ask(stage, "/post", "POST", headers={"X-CSRFToken": person.cookies["csrftoken"]}).status_code == 201
    assert person.ask(stage, "/api", "POST", headers={"X-CSRFToken": given}).status_code == 201


def test_a_form_of_the_stage_goes_to_either(stage: Running, person: Person) -> None:
    before = person.house("/form", method="GET").text
    given = person.ask(stage, "/form").text

    answer = ask(stage, "/post", "POST", data={"csrfmiddlewaretoken": given}, cookies=dict(person.cookies))

    assert answer.status_code == 201
    assert before != given
    with httpx.Client(cookies=person.cookies) as client:
        at_house = client.post(f"{person.at}/guarded", data={"csrfmiddlewaretoken": given})
    assert at_house.status_code == 204


@pytest.mark.parametrize("path", ["/post", "/api"])
def test_a_form_without_the_token_is_refused(ground: Company, stage: Running, person: Person, path: str) -> None:
    person.house("/form", method="GET")
    of_another = Person(ground).house("/form", method="GET").text

    assert person.ask(stage, path, "POST").status_code == 403
    assert person.ask(stage, path, "POST", headers={"X-CSRFToken": of_another}).status_code == 403


def test_a_token_of_the_house_opens_the_stage(stage: Running, person: Person) -> None:
    answer = ask(stage, "/api", headers=token(person.token))

    assert answer.json() == {"id": person.id, "name": person.name}
    assert ask(stage, "/api", "POST", headers=token(person.token)).status_code == 201


@pytest.mark.exhaustive
@pytest.mark.parametrize("key", [*ODD, "two words"])
def test_a_token_that_nobody_has_is_refused_like_that_of_somebody_inactive(
    ground: Company, stage: Running, person: Person, key: str
) -> None:
    with psycopg.connect(ground.url) as session:
        session.execute("UPDATE auth_user SET is_active = false WHERE id = %s", [person.id])
    inactive = ask(stage, "/api", headers=token(person.token))

    answer = ask(stage, "/api", headers=[(b"Authorization", f"Token {key}".encode())])

    assert (inactive.status_code, inactive.json()) == (403, {"detail": "Invalid token."})
    assert answer.status_code == 403
    assert ask(stage, "/api").status_code == 403


def test_a_session_is_no_token_and_a_token_no_session(stage: Running, person: Person) -> None:
    assert ask(stage, "/api", headers=token(person.key)).status_code == 403
    assert ask(stage, "/me", cookies={COOKIE: person.token}).status_code == 302


def test_what_cannot_be_done_here_says_where_it_can(stage: Running, person: Person) -> None:
    told = person.ask(stage, "/write", "POST").json()

    assert told["session"].startswith(
        "ReadOnlySessionError: a session of the side that has the accounts cannot be changed"
    )
    assert told["flush"].startswith("ReadOnlySessionError: ")
    assert told["save"].startswith("AttributeError: a user of another side has no 'save' here: its row")
    assert told["relation"].startswith("AttributeError: a user of another side has no 'auth_token' here")
    assert ask(stage, "/write", "POST").json()["session"].startswith("ReadOnlySessionError")
    assert person.ask(stage, "/me").json()["seat"]["row"] == 7


def test_a_page_that_does_not_ask_who_it_is_asks_nobody(stage: Running, person: Person, ground: Company) -> None:
    before = lookups(stage)

    answer = person.ask(stage, "/everybody")

    under_asgi = "theatre.asgi" in stage.process.args
    assert lookups(stage) - before == int(under_asgi)
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert "Cookie" in person.ask(stage, "/me").headers["Vary"]


@pytest.mark.parametrize(
    ("path", "method"), [("/me", "GET"), ("/async/me", "GET"), ("/api", "GET"), ("/write", "POST")]
)
def test_a_request_asks_once_at_most(stage: Running, person: Person, path: str, method: str) -> None:
    before = lookups(stage)

    person.ask(stage, path, method)

    assert lookups(stage) == before + 1


def test_a_kept_answer_is_used_again_for_each_his_own(ground: Company, kept: Running) -> None:
    people = [Person(ground).log_in() for _ in range(6)]
    before = lookups(kept)

    with ThreadPoolExecutor(12) as pool:
        asked = [(each, pool.submit(each.ask, kept, "/me")) for each in people * 8]
        answers = [(each, answer.result(60).json()) for each, answer in asked]
    by_token = [ask(kept, "/api", headers=token(each.token)).json() for each in people]

    assert all(answer["id"] == each.id and answer["seat"]["for"] == each.name for each, answer in answers)
    assert [each["id"] for each in by_token] == [each.id for each in people]
    assert lookups(kept) - before == 2 * len(people)


def test_what_nobody_has_is_not_kept(ground: Company, kept: Running) -> None:
    person = Person(ground)
    before = lookups(kept)

    assert [ask(kept, "/me", cookies={COOKIE: "x" * 32}).status_code for _ in range(3)] == [302] * 3

    assert lookups(kept) - before == 3
    assert person.log_in().ask(kept, "/me").status_code == 200


def test_a_logout_is_known_after_the_seconds_of_the_setting(ground: Company) -> None:
    person = Person(ground).log_in()
    cookies = person.cookies
    with ground.stage(seconds=1.5) as stage:
        assert person.ask(stage, "/me").status_code == 200
        person.house("/logout")
        ended = time.monotonic()
        until(lambda: ask(stage, "/me", cookies=cookies).status_code == 302)

    assert time.monotonic() - ended < 15


@pytest.mark.parametrize("asynchronous", [False, True], ids=["WSGI", "ASGI"])
def test_while_the_house_is_away_nobody_is_taken_for_somebody_else(ground: Company, asynchronous: bool) -> None:
    person = Person(ground).log_in()
    with ground.stage(asynchronous=asynchronous) as stage:
        with ground.closed():
            cookies = dict(person.cookies)
            answers = [ask(stage, path, cookies=cookies) for path in ("/me", "/async/me", "/api", "/behind") * 3]
            answers += [ask(stage, "/api", headers=token(person.token)), ask(stage, "/api", "POST", cookies=cookies)]
            public = [ask(stage, "/everybody", cookies=cookies), ask(stage, "/me")]

        assert {answer.status_code for answer in answers} == {503}, [answer.text for answer in answers]
        assert {answer.headers["Retry-After"] for answer in answers} == {"2"}
        assert [answer.status_code for answer in public] == [200, 302]
        assert lookups(stage, "not_asked") > 0
        until(lambda: person.ask(stage, "/me").status_code == 200)


def question(secret: str = SECRET, purpose: str = PATH, **content: Any) -> tuple[bytes, dict[str, str]]:
    body, signature = sealing.seal(secret, {"kind": "session", "key": "x" * 32, "nonce": "1", **content}, purpose)
    return body, {agreement.SIGNATURE: signature}


def at(path: str, ground: Company, body: bytes, headers: dict[str, Any], method: str = "POST") -> int:
    return ground.at_house(method, path, content=body, headers=headers).status_code


def test_only_who_has_the_secret_is_told(ground: Company, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    body, signed = question(key=person.key)
    assert at(PATH, ground, body, signed) == 200

    for wrong in (
        (body, {}),
        (body, {agreement.SIGNATURE: b"\xc3\xa9"}),
        (body, {agreement.SIGNATURE: signed[agreement.SIGNATURE][:-1]}),
        (body.replace(person.key.encode(), b"y" * 32), signed),
        (body + b" ", signed),
        question("another secret that nobody else knows of", key=person.key),
        question(purpose=agreement.DELETIONS, key=person.key),
        question(purpose=ANSWER, key=person.key),
    ):
        assert at(PATH, ground, *wrong) == 403
    assert at(PATH, ground, b"x" * (LARGEST_BYTES + 1), signed) == 413
    assert at(PATH, ground, b"", signed, "GET") == 405
    now = time.time()
    for passed in (-300, 300):
        monkeypatch.setattr(sealing.time, "time", lambda passed=passed: now + passed)
        assert at(PATH, ground, *question(key=person.key)) == 403


def test_who_has_no_users_tells_nobody(kept: Running) -> None:
    body, signed = question()

    assert ask(kept, PATH, "POST", content=body, headers=signed).status_code == 404


@pytest.mark.exhaustive
@pytest.mark.parametrize("key", [*ODD, "", "\x00", "\ud800", "x\n"])
@pytest.mark.parametrize("kind", ["session", "token"])
def test_the_house_takes_any_key_for_one_that_nobody_has(ground: Company, kind: str, key: str) -> None:
    """What a stage would not even ask."""
    body, signed = question(kind=kind, key=key)

    answer = ground.at_house("POST", PATH, content=body, headers=signed)

    assert answer.status_code == 200, answer.text
    assert answer.json().items() >= {"user": None, "session": {}}.items()


Forge = Callable[[dict[str, Any]], tuple[bytes, str]]


@pytest.fixture
def impostor() -> Iterator[tuple[str, list[Forge]]]:
    """Takes the place of the house; answers as the test has it."""
    forge: list[Forge] = []

    class Impostor(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body, signature = forge[0](json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header(agreement.SIGNATURE, signature)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Impostor) as server:
        served = Thread(target=server.serve_forever)
        served.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", forge
        finally:
            server.shutdown()
            served.join()


def user(**told: Any) -> dict[str, Any]:
    said = {
        "id": 1,
        "username": "root",
        "is_active": True,
        "is_staff": True,
        "is_superuser": True,
        "permissions": [],
        "groups": [],
    }
    return {"user": {**said, "attributes": {"email": ""}}, "session": {}, "seconds": 60, **told}


def test_an_answer_counts_only_if_the_house_has_given_it_to_this_question(
    ground: Company, impostor: tuple[str, list[Forge]]
) -> None:
    url, forge = impostor
    forged: dict[str, Forge] = {
        "no signature": lambda asked: (json.dumps(user(nonce=asked["nonce"])).encode(), ""),
        "another secret": lambda asked: sealing.seal("x" * 32, user(nonce=asked["nonce"]), ANSWER),
        "an answer to another question": lambda _: sealing.seal(SECRET, user(nonce="0" * 32), ANSWER),
        "a question": lambda asked: sealing.seal(SECRET, user(nonce=asked["nonce"]), PATH),
        "no JSON": lambda _: (b"{", "0"),
    }
    with ground.stage(url=url) as stage:
        for name, made in forged.items():
            forge[:] = [made]
            assert ask(stage, "/me", cookies={COOKIE: "x" * 32}).status_code == 503, name
        forge[:] = [lambda asked: sealing.seal(SECRET, user(nonce=asked["nonce"]), ANSWER)]
        assert ask(stage, "/me", cookies={COOKIE: "x" * 32}).json()["name"] == "root"


def test_a_house_with_another_secret_tells_nothing(ground: Company, person: Person) -> None:
    with ground.stage(secret="a secret that only this stage has and no house") as stage:
        assert person.ask(stage, "/me").status_code == 503
        assert "answered 403" in stage.said


def test_a_secret_is_exchanged_while_both_are_in_use(ground: Company, person: Person) -> None:
    """The stage signs with the old one; an answer by it counts wherever the old one is known."""
    with ground.stage(secret=f"{SECRET},the-new-one-which-will-stand-above-the-old-one") as stage:
        assert person.ask(stage, "/me").status_code == 200


def test_no_log_has_a_session_or_a_token(ground: Company, person: Person) -> None:
    with ground.stage() as stage:
        for path in ("/me", "/async/me", "/api", "/write", "/everybody"):
            person.ask(stage, path)
            ask(stage, path, headers=token(person.token))
            ask(stage, path, "POST", headers={**token(person.token), "Cookie": f"{COOKIE}={person.key}"})
        with ground.closed():
            person.ask(stage, "/me")
            ask(stage, "/api", headers=token(person.token))
        said = stage.said + (ground.folder / "house.log").read_text()

    assert "identity_unavailable" in said
    assert person.key not in said
    assert person.token not in said
