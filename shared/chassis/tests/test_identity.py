"""Whose a session or a token is: what the house tells, how long an answer is used, what the settings must be."""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from chassis import agreement
from chassis.identity import checks, lookups, remote, telling
from chassis.identity.lookups import MOST_KEPT, Lookups, UnavailableError
from chassis.identity.remote import Groups, Nobody, RemoteUser
from chassis.identity.sessions import IdentityMiddleware
from chassis.identity.standing import AccountBase
from chassis.ownership import sealing
from chassis.process import waiting
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends import signed_cookies
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.test.utils import isolate_apps
from django.urls import path
from library.waiting import until
from rest_framework.authtoken.models import Token

NOT_TOLD = ["emial", "groups", "_state", "has_perm", "user_permissions", "pk", 7, "get_full_name"]
NOT_TOLD += ["auth_token.kee", "auth_token.user", "groups.name", "profil.city"]
SECRET = "a-secret-of-more-than-thirty-two-characters"
FENCE = "chassis.ownership.fence.FenceMiddleware"
KNOWN = b'{"user": {"id": 1}, "session": {}}'


@pytest.fixture
def house(settings: Any) -> None:
    """This project has the users; its sessions are signed cookies, and need no table."""
    settings.CHASSIS_IDENTITY_SECRETS = [SECRET]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]


def told(key: str, kind: str = "session", secret: str = SECRET) -> dict[str, Any]:
    """What the house answers."""
    body, signature = sealing.seal(secret, {"kind": kind, "key": key, "nonce": "1"}, telling.PATH)
    request = RequestFactory().post(
        telling.PATH, body, content_type="application/json", headers={agreement.SIGNATURE: signature}
    )
    answer = telling.answer(request)
    content: dict[str, Any] = json.loads(answer.content)
    return {"status": answer.status_code, **content}


def session_of(user: User, backend: str = "django.contrib.auth.backends.ModelBackend", **content: Any) -> str:
    """The key of a session in which the user has logged in."""
    request = HttpRequest()
    request.session = signed_cookies.SessionStore()
    auth.login(request, user, backend=backend)
    request.session.update(content)
    request.session.save()
    return str(request.session.session_key)


@pytest.mark.usefixtures("house")
class TestTheHouse:
    def test_it_tells_of_a_session_that_is_a_signed_cookie(self, reader: User) -> None:
        answer = told(session_of(reader, cart=[1, 2]))

        assert (answer["status"], answer["session"]) == (200, {"cart": [1, 2]})
        assert answer["user"] == {
            "id": reader.pk,
            "username": "ada",
            "is_active": True,
            "is_staff": False,
            "is_superuser": False,
            "permissions": [],
            "groups": [],
            "attributes": {},
        }

    def test_what_the_user_is_known_by_there_is_not_told(self, reader: User) -> None:
        assert not any(name.startswith("_auth") for name in told(session_of(reader))["session"])

    def test_an_anonymous_session_is_told_without_a_user(self) -> None:
        session = signed_cookies.SessionStore()
        session["language"] = "de"
        session.save()

        answer = told(str(session.session_key))

        assert (answer["user"], answer["session"]) == (None, {"language": "de"})

    def test_a_session_that_a_fallback_key_has_made_is_known_and_stays(self, reader: User, settings: Any) -> None:
        key = session_of(reader)
        # Of the cookie itself, too: Django reads it by the fallbacks.
        settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], secrets.token_hex(32)

        assert [told(key)["user"]["id"], told(key)["user"]["id"]] == [reader.pk, reader.pk]

    @pytest.mark.parametrize("change", [{"is_active": False}, {"password": "md5$x$y"}])
    def test_a_user_who_is_not_let_in_here_is_not_told_of(self, reader: User, change: dict[str, Any]) -> None:
        key = session_of(reader)
        User.objects.filter(pk=reader.pk).update(**change)

        assert told(key)["user"] is None

    def test_a_backend_that_is_not_trusted_any_more_lets_nobody_in(self, reader: User, settings: Any) -> None:
        key = session_of(reader)
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]

        assert told(key)["user"] is None

    def test_who_is_let_in_although_inactive_is_told_so(self, reader: User, settings: Any) -> None:
        backend = "django.contrib.auth.backends.AllowAllUsersModelBackend"
        settings.AUTHENTICATION_BACKENDS = [backend]
        key = session_of(reader, backend=backend)
        User.objects.filter(pk=reader.pk).update(is_active=False)

        assert told(key)["user"]["is_active"] is False

    def test_attributes_are_told_as_json_has_them(self, reader: User, settings: Any) -> None:
        settings.CHASSIS_IDENTITY_ATTRIBUTES = ["email", "date_joined"]

        attributes = told(session_of(reader))["user"]["attributes"]

        assert attributes["email"] == ""
        assert attributes["date_joined"].startswith(str(reader.date_joined.year))

    def test_of_a_row_that_belongs_to_a_user_fields_are_told(self, reader: User, settings: Any) -> None:
        """As of a profile; here it is the row of REST framework's token."""
        settings.CHASSIS_IDENTITY_ATTRIBUTES = ["first_name", "last_name", "auth_token.created"]
        key = session_of(reader)
        before = remote.RemoteUser(told(key)["user"])
        token = Token.objects.create(user=reader)
        after = remote.RemoteUser(told(key)["user"])

        assert not hasattr(before, "auth_token")
        assert after.auth_token.created.startswith(str(token.created.year))
        assert after.get_full_name() == ""
        with pytest.raises(AttributeError, match=r"CHASSIS_IDENTITY_ATTRIBUTES, as 'auth_token.key'"):
            _ = after.auth_token.key

    def test_a_relation_takes_the_user_of_a_request_and_keeps_the_key(self, reader: User) -> None:
        with isolate_apps("chassis"):

            class Account(models.Model, metaclass=AccountBase):  # noqa: DJ008
                id = models.BigAutoField(primary_key=True)

                class Meta:
                    app_label, managed = "chassis", False

            class Loan(models.Model):  # noqa: DJ008
                owner = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False)

                class Meta:
                    app_label, managed = "chassis", False

            user = remote.RemoteUser(told(session_of(reader))["user"])
            loan, later = Loan(owner=user), Loan()
            later.owner = user

            assert (loan.owner_id, later.owner_id) == (reader.pk, reader.pk)
            assert str(loan.owner) == "ada"
            loan._prepare_related_fields_for_save("save")
            assert loan.owner_id == reader.pk
            with pytest.raises(ValueError, match="must be a"):
                later.owner = reader

    def test_of_a_pickled_session_json_is_told(self, reader: User, settings: Any, caplog: Any) -> None:
        settings.SESSION_SERIALIZER = "test_identity.Pickles"
        key = session_of(reader, plain=1, odd={1, 2}, infinite=float("inf"))

        assert told(key)["session"] == {"plain": 1}
        assert [record.reason for record in caplog.records if record.msg == "session_values_left_out"] == [
            "no JSON: infinite, odd"
        ]

    def test_a_superuser_s_permissions_are_not_listed(self, db: None) -> None:
        root = User.objects.create_superuser("root")

        assert told(session_of(root))["user"]["permissions"] == []

    def test_a_look_costs_four_statements(self, reader: User, django_assert_num_queries: Any) -> None:
        """The user, the permissions of the user and of the groups, and the groups; a session in a table is a fifth."""
        key = session_of(reader)

        with django_assert_num_queries(4):
            told(key)

    def test_a_forged_question_costs_none(self, db: None, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert told("x" * 32, secret="x" * 32)["status"] == 403
            assert told("x" * 5000)["user"] is None

    def test_without_auth_a_session_has_no_user(self, reader: User, settings: Any) -> None:
        key = session_of(reader, cart=[1])
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app in ("chassis", "rest_framework")]

        assert told(key).items() >= {"user": None, "session": {"cart": [1]}}.items()

    @pytest.mark.parametrize("kind", ["session", "token"])
    def test_what_the_project_has_not_is_said(self, db: None, settings: Any, kind: str) -> None:
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "rest_framework.authtoken"]

        answer = told("x" * 32, kind)

        assert answer["status"] == 501
        assert "is not installed here" in answer["detail"]

    def test_the_project_names_who_knows_its_tokens(self, reader: User, settings: Any) -> None:
        settings.CHASSIS_IDENTITY_TOKENS = "test_identity.Badges"

        assert told("adas-badge", "token")["user"]["username"] == "ada"
        assert told("nobody", "token")["user"] is None

    def test_nothing_is_told_without_a_secret_or_by_who_asks_another_side(self, settings: Any) -> None:
        settings.CHASSIS_IDENTITY_URL = "http://127.0.0.1:1"
        assert told("x" * 32)["status"] == 404
        settings.CHASSIS_IDENTITY_URL, settings.CHASSIS_IDENTITY_SECRETS = "", []
        assert told("x" * 32)["status"] == 404

    def test_an_old_secret_counts_while_it_is_in_the_list(self, reader: User, settings: Any) -> None:
        key, new = session_of(reader), secrets.token_hex(32)
        settings.CHASSIS_IDENTITY_SECRETS = [new, SECRET]
        assert [told(key)["status"], told(key, secret=new)["status"]] == [200, 200]
        settings.CHASSIS_IDENTITY_SECRETS = [new]
        assert told(key)["status"] == 403


class Pickles:
    """The serializer that Django had until 5.0."""

    def dumps(self, value: Any) -> bytes:
        import pickle

        return pickle.dumps(value)

    def loads(self, value: bytes) -> Any:
        import pickle

        return pickle.loads(value)


class Badges:
    """Knows tokens of the project's own."""

    def authenticate_credentials(self, key: str) -> tuple[User, str]:
        from rest_framework.exceptions import AuthenticationFailed

        name, _, kind = key.partition("s")
        user = User.objects.filter(username=name).first()
        if user is None or not kind:
            raise AuthenticationFailed
        return user, key


class Owner:
    """Answers as the test plans it; waits until it may, where it is to wait."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: bytes | Exception = KNOWN
        self.seconds = 3600.0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, kind: str, key: str) -> tuple[bytes, float]:
        self.asked.append((kind, key))
        assert self.may_answer.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer, self.seconds


@pytest.fixture
def owner() -> Owner:
    return Owner()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(owner: Owner, clock: Any, settings: Any) -> Lookups:
    """Answers are used for five seconds."""
    settings.CHASSIS_IDENTITY_SECONDS = 5
    return Lookups(owner, clock)


class TestAnswers:
    def test_an_answer_is_used_until_its_seconds_are_over(self, kept: Lookups, owner: Owner, clock: Clock) -> None:
        kept.find("session", "a")
        clock.now += 4.9
        kept.find("session", "a")
        assert len(owner.asked) == 1
        clock.now += 0.1
        kept.find("session", "a")
        assert len(owner.asked) == 2

    def test_its_age_is_that_of_its_question(self, kept: Lookups, owner: Owner, clock: Clock) -> None:
        """What was committed at the owner while the answer was on its way may not be in it."""
        owner.may_answer.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(kept.find, "session", "a")
            until(lambda: owner.asked)
            clock.now += 5
            owner.may_answer.set()
            first.result(30)
        kept.find("session", "a")

        assert len(owner.asked) == 2

    def test_the_owner_may_allow_less(self, kept: Lookups, owner: Owner, clock: Clock) -> None:
        owner.seconds = 1
        kept.find("session", "a")
        clock.now += 1
        kept.find("session", "a")

        assert len(owner.asked) == 2

    def test_with_no_seconds_each_asks_for_himself(self, kept: Lookups, owner: Owner, settings: Any) -> None:
        settings.CHASSIS_IDENTITY_SECONDS = 0
        owner.may_answer.clear()
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(kept.find, "session", "a") for _ in range(2)]
            until(lambda: len(owner.asked) == 2)
            owner.may_answer.set()
            assert [each.result(30) for each in asked] == [KNOWN, KNOWN]
        assert not kept._flights

    def test_who_comes_together_asks_once(self, kept: Lookups, owner: Owner) -> None:
        owner.may_answer.clear()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(kept.find, "session", "a") for _ in range(8)]
            until(lambda: waiting.process.count("peers") == 8)
            owner.may_answer.set()
            assert {each.result(30) for each in asked} == {KNOWN}
        assert len(owner.asked) == 1

    def test_who_waits_for_an_answer_that_does_not_come_is_told_so(self, kept: Lookups, owner: Owner) -> None:
        owner.answer = UnavailableError("away")
        owner.may_answer.clear()
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(kept.find, "session", "a") for _ in range(4)]
            until(lambda: waiting.process.count("peers") == 4)
            owner.may_answer.set()
            for each in asked:
                with pytest.raises(UnavailableError, match="away"):
                    each.result(30)
        owner.answer = KNOWN

        assert kept.find("session", "a") == KNOWN
        assert waiting.process.count("peers") == 0

    def test_a_fault_of_the_project_is_one_and_holds_nobody_up(self, kept: Lookups, owner: Owner) -> None:
        owner.answer = ImproperlyConfigured("no address")
        with pytest.raises(ImproperlyConfigured):
            kept.find("session", "a")
        owner.answer = KNOWN

        assert kept.find("session", "a") == KNOWN

    def test_where_too_many_wait_nobody_is_asked(self, kept: Lookups, owner: Owner, settings: Any) -> None:
        settings.CHASSIS_HOLD_LIMIT = 0

        with pytest.raises(UnavailableError, match="too many"):
            kept.find("session", "a")

        assert not owner.asked

    def test_a_session_and_a_token_of_the_same_text_are_two(self, kept: Lookups, owner: Owner) -> None:
        kept.find("session", "a")
        kept.find("token", "a")

        assert owner.asked == [("session", "a"), ("token", "a")]

    @pytest.mark.parametrize("key", ["", "é", "a b", "a\x00", "\ud800", "a\n", "a" * 4097])
    def test_what_can_be_no_key_is_not_asked(self, kept: Lookups, owner: Owner, key: str) -> None:
        assert json.loads(kept.find("session", key)) == {"user": None, "session": {}}
        assert not owner.asked

    def test_who_guesses_pushes_nobody_out(self, kept: Lookups, owner: Owner) -> None:
        kept.find("session", "ada")
        owner.answer = b'{"user": null, "session": {}}'
        for number in range(MOST_KEPT + 10):
            kept.find("session", f"guess{number}")
        owner.asked.clear()

        kept.find("session", "ada")

        assert not owner.asked

    def test_no_more_is_kept_than_a_process_can_hold(self, kept: Lookups, owner: Owner) -> None:
        for number in range(MOST_KEPT + 10):
            kept.find("session", str(number))
        assert len(kept._flights) == MOST_KEPT
        owner.answer = json.dumps({"user": {"id": 1}, "session": {"text": "x" * 20_000}}).encode()
        kept.find("session", "large")
        owner.asked.clear()
        kept.find("session", "large")

        assert owner.asked == [("session", "large")]

    def test_no_key_is_kept(self, kept: Lookups) -> None:
        kept.find("session", "what-only-ada-has")

        assert b"what-only-ada-has" not in repr(vars(kept)).encode()
        assert all(len(name) == 32 for name in kept._flights)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each question whether a transaction was open."""
    found: list[bool] = []

    def ask(kind: str, key: str) -> tuple[bytes, float]:
        found.append(connection.in_atomic_block)
        user = {
            "id": 1,
            "username": "ada",
            "is_active": True,
            "is_staff": False,
            "is_superuser": False,
            "permissions": [],
            "groups": [],
        }
        return json.dumps({"user": user, "session": {"seat": 7}}).encode(), 60

    monkeypatch.setattr(lookups, "process", Lookups(ask))
    return found


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user} {request.session['seat']} {connection.in_atomic_block}")


def move(request: HttpRequest) -> HttpResponse:
    """To the next seat."""
    seat = request.session["seat"]
    request.session["seat"] = seat + 1
    return HttpResponse(str(seat))


urlpatterns = [path("books", view), path("seats", move)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")
@pytest.mark.parametrize("moment", ["open", "pause", "after"])
def test_the_house_tells_at_every_moment_of_a_move(
    house: None, reader: User, side: Any, client: Any, settings: Any, moment: str
) -> None:
    settings.MIDDLEWARE, settings.ALLOWED_HOSTS = [FENCE], []
    key = session_of(reader)
    if moment == "pause":
        side.fence()
    elif moment == "after":
        side.hand_over()

    body, signature = sealing.seal(SECRET, {"kind": "session", "key": key, "nonce": "1"}, telling.PATH)
    answer = client.post(telling.PATH, body, content_type="text/plain", headers={agreement.SIGNATURE: signature})

    assert (answer.status_code, answer.json()["user"]["id"]) == (200, reader.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")
def test_a_request_that_may_write_asks_before_its_transaction(asked: list[bool], side: Any, client: Any) -> None:
    middleware = ["chassis.identity.sessions.IdentityMiddleware", FENCE]
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=middleware):
        client.cookies["sessionid"] = "x" * 32
        answer = client.post("/books")

    assert answer.content == b"ada 7 True"
    assert asked == [False]


def test_a_store_that_both_sides_have_is_read_and_written_and_nobody_is_asked(
    asked: list[bool], db: None, settings: Any, client: Any
) -> None:
    """Signed cookies need the same SECRET_KEY, and nothing else."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.MIDDLEWARE = ["chassis.identity.sessions.IdentityMiddleware", checks.SESSIONS]
    settings.ROOT_URLCONF, settings.ALLOWED_HOSTS = __name__, ["testserver"]
    given = signed_cookies.SessionStore()
    given["seat"] = 7
    given.save()
    client.cookies["sessionid"] = given.session_key

    seats = [client.get("/seats").content for _ in range(3)]

    assert seats == [b"7", b"8", b"9"]
    assert not asked


def test_what_a_view_does_to_its_user_and_session_is_not_seen_by_the_next(asked: list[bool], settings: Any) -> None:
    settings.CHASSIS_IDENTITY_SECONDS = 60

    def view(request: HttpRequest) -> HttpResponse:
        seen = f"{vars(request.user).get('mark')} {request.session['seat']}"
        request.user.mark = "mine"
        return HttpResponse(seen)

    request = RequestFactory().get("/", headers={"cookie": f"sessionid={'x' * 32}"})
    middleware = IdentityMiddleware(view)

    contents = [middleware(request).content]
    contents.append(middleware(RequestFactory().get("/", headers={"cookie": f"sessionid={'x' * 32}"})).content)

    assert contents == [b"None 7", b"None 7"]
    assert len(asked) == 1


def described(**told: Any) -> RemoteUser:
    said = {
        "id": 1,
        "username": "ada",
        "is_active": True,
        "is_staff": False,
        "is_superuser": False,
        "permissions": [],
        "groups": [],
    }
    return RemoteUser({**said, **told})


class TestRemoteUser:
    def test_permissions_are_those_that_were_told(self) -> None:
        user = described(permissions=["shelf.add_book", "shelf.view_book"])

        assert user.has_perms(["shelf.add_book", "shelf.view_book"])
        assert not user.has_perms(["shelf.add_book", "shelf.delete_book"])
        assert (user.has_module_perms("shelf"), user.has_module_perms("she")) == (True, False)
        assert not user.has_perm("shelf.add_book", object())
        with pytest.raises(TypeError):
            user.has_perms("shelf.add_book")

    def test_a_superuser_has_them_all(self) -> None:
        user = described(is_superuser=True)

        assert user.has_perm("shelf.add_book", object())
        assert user.has_module_perms("anything")

    def test_who_is_inactive_may_nothing(self) -> None:
        """A backend of Django's lets such users in."""
        user = described(is_active=False, is_superuser=True, permissions=["shelf.add_book"])

        assert not user.is_active
        assert not user.has_perm("shelf.add_book")
        assert not user.has_module_perms("shelf")

    @pytest.mark.parametrize("truthy", ["true", 1, "false", [1]])
    def test_nobody_becomes_staff_by_what_is_not_true(self, truthy: object) -> None:
        user = described(is_staff=truthy, is_superuser=truthy, is_active=truthy)

        assert not user.is_staff
        assert not user.is_active
        assert not user.has_perm("shelf.add_book")

    @pytest.mark.parametrize("pk", [7, "7", uuid.uuid4()])
    def test_a_primary_key_is_of_the_kind_that_it_was(self, pk: Any) -> None:
        found = described(id=json.loads(json.dumps(remote.spelled(pk)))).pk

        assert (found, type(found)) == (pk, type(pk))

    def test_another_kind_of_primary_key_is_refused(self) -> None:
        with pytest.raises(TypeError, match="primary key of a user is a float"):
            remote.spelled(1.5)

    def test_two_are_the_same_by_their_key(self) -> None:
        assert {described(), described(username="changed")} == {described()}
        assert described() != described(id="1")

    def test_groups_are_asked_by_name(self) -> None:
        groups = described(groups=["cast", "crew"]).groups

        assert groups.filter(name="cast").exists()
        assert not groups.filter(name__in=["guests"]).exists()
        assert [str(group) for group in groups.exclude(name="cast").all()] == ["crew"]
        assert (groups.count(), groups.all().first().name) == (2, "cast")
        assert groups.values_list("name") == [("cast",), ("crew",)]
        for wrong in (lambda: groups.filter(pk=1), lambda: groups.values_list("id"), lambda: groups.add(1)):
            with pytest.raises((TypeError, AttributeError), match="of another side"):
                wrong()

    def test_who_is_nobody_may_nothing(self) -> None:
        nobody = Nobody()

        assert (nobody.is_authenticated, nobody.is_anonymous, nobody.has_perm("a.b")) == (False, True, False)
        assert isinstance(nobody.groups, Groups)
        assert not nobody.groups.exists()


def found(**changed: Any) -> list[str | None]:
    with override_settings(**changed):
        return [message.id for message in checks.identity(None)]


class TestChecks:
    HOUSE: ClassVar[dict[str, Any]] = {"CHASSIS_IDENTITY_SECRETS": [SECRET], "MIDDLEWARE": [FENCE]}
    STAGE: ClassVar[dict[str, Any]] = {
        "CHASSIS_IDENTITY_SECRETS": [SECRET],
        "CHASSIS_IDENTITY_URL": "http://127.0.0.1:1",
        "MIDDLEWARE": [checks.IDENTITY, FENCE],
    }

    def test_sound_settings_pass_and_so_do_none(self) -> None:
        assert (found(), found(**self.HOUSE), found(**self.STAGE)) == ([], [], [])

    @pytest.mark.parametrize("secrets", [[], SECRET, ["short"], [SECRET, "short"], [SECRET, 7]])
    def test_a_secret_that_can_be_guessed_is_refused(self, secrets: Any) -> None:
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_SECRETS": secrets}) == ["chassis.E020"]

    def test_nor_is_it_used_by_a_process_that_was_not_checked(self, settings: Any) -> None:
        settings.CHASSIS_IDENTITY_SECRETS = SECRET
        with pytest.raises(ImproperlyConfigured):
            told("x" * 32, secret=SECRET[0])

    @pytest.mark.parametrize("url", ["", "monolith:8000", "http://me:word@monolith", "http://monolith/?a=1"])
    def test_an_address_that_is_none_is_refused(self, url: str) -> None:
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_URL": url}) == ["chassis.E021"]

    @pytest.mark.parametrize("value", [-1, "soon", float("inf"), float("nan"), None])
    @pytest.mark.parametrize("name", ["CHASSIS_IDENTITY_SECONDS", "CHASSIS_IDENTITY_TIMEOUT"])
    def test_a_time_that_is_none_is_refused(self, name: str, value: Any) -> None:
        assert found(**{**self.STAGE, name: value}) == ["chassis.E022"]

    def test_no_seconds_are_a_number_of_seconds(self) -> None:
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_SECONDS": 0}) == []
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_TIMEOUT": 0}) == ["chassis.E022"]

    @pytest.mark.parametrize("middleware", [[FENCE, checks.IDENTITY], [checks.IDENTITY, FENCE, checks.AUTHENTICATION]])
    def test_the_order_of_middleware_counts(self, middleware: list[str]) -> None:
        assert found(**{**self.STAGE, "MIDDLEWARE": middleware}) == ["chassis.E023"]

    def test_a_house_that_answers_nobody_is_named(self) -> None:
        assert found(**{**self.HOUSE, "MIDDLEWARE": []}) == ["chassis.E023"]

    @pytest.mark.parametrize("name", NOT_TOLD)
    def test_what_cannot_be_told_of_a_user_is_named(self, name: Any) -> None:
        assert found(**self.HOUSE, CHASSIS_IDENTITY_ATTRIBUTES=["email", name]) == ["chassis.E024"]

    def test_a_class_for_tokens_that_is_not_there_is_named(self) -> None:
        assert found(**self.HOUSE, CHASSIS_IDENTITY_TOKENS="nowhere.Tokens") == ["chassis.E024"]

    def test_what_django_would_write_into_the_session_is_named(self, settings: Any) -> None:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.messages"]
        assert found(**self.STAGE, CSRF_USE_SESSIONS=True) == ["chassis.W025", "chassis.W025"]
        assert found(**self.STAGE, MESSAGE_STORAGE=checks.COOKIES) == []
        shared = {**self.STAGE, "MIDDLEWARE": [*self.STAGE["MIDDLEWARE"], checks.SESSIONS]}
        assert found(**shared, CSRF_USE_SESSIONS=True) == []
