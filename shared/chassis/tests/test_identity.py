"""Whose a session or a token is, as the side tells that has the users, also while it moves."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from chassis import agreement
from chassis.identity import checks, lookups, remote, telling
from chassis.identity.lookups import Lookups
from chassis.identity.sessions import IdentityMiddleware
from chassis.identity.standing import AccountBase
from chassis.ownership import sealing
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends import signed_cookies
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.test.utils import isolate_apps
from django.urls import path
from rest_framework.authtoken.models import Token

SECRET = "a-secret-of-more-than-thirty-two-characters"
FENCE = "chassis.ownership.fence.FenceMiddleware"


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

    def test_a_secret_that_can_be_guessed_is_not_used_by_a_process_that_was_not_checked(self, settings: Any) -> None:
        settings.CHASSIS_IDENTITY_SECRETS = SECRET
        with pytest.raises(ImproperlyConfigured):
            told("x" * 32, secret=SECRET[0])


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
