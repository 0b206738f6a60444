"""Errors outside of views, and values that only the database refuses."""

from __future__ import annotations

import encodings
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from io import BytesIO
from urllib.parse import unquote

import psycopg
import pytest
from chassis.rest import answers, doorstep
from chassis.rest.errors import MOST_ERRORS, Busy, shortened
from chassis.testing import hostile
from django.contrib.auth.models import User
from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig, TooManyFieldsSent
from django.core.wsgi import get_wsgi_application
from django.db import DataError, IntegrityError, connection, transaction
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from django.http.request import UnreadablePostError
from django.test import Client
from django.urls import path
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

handler400, handler403 = answers.handler400, answers.handler403
handler404, handler500 = answers.handler404, answers.handler500

MIDDLEWARE = ["chassis.rest.answers.AnswersMiddleware", "django.middleware.common.CommonMiddleware"]


def store(number: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::integer", [number])


def divide() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def _raising(error: Exception):
    def view(request):
        raise error

    return view


@contextmanager
def _telling(statuses, rf):
    """What the handler answers while an error is handled."""
    try:
        yield
    except Exception:
        statuses.append(answers.handler500(rf.get("/")).status_code)
        raise


class Stores(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request):
        store(request.query_params["number"])
        return Response("stored")

    def post(self, request):
        return Response(request.data)


class Divides(Stores):
    def get(self, request):
        divide()


class IsBusy(Stores):
    def get(self, request):
        raise Busy(wait=7)


class RaisesSurrogates(Stores):
    def get(self, request):
        "\ud800".encode()


class Basket(serializers.Serializer):
    code = serializers.SlugField(max_length=3)
    lines = serializers.ListField(child=serializers.IntegerField(), required=False)
    notes = serializers.DictField(child=serializers.IntegerField(), required=False)


class Baskets(Stores):
    """Takes one basket, or a list of them."""

    def post(self, request):
        several = isinstance(request.data, list)
        serializer = Basket(data=request.data, many=several)
        serializer.is_valid(raise_exception=True)
        return Response()


class CutOff(Stores):
    def get(self, request):
        raise UnreadablePostError


urlpatterns = [
    path("<str:text>/said", lambda request, text: HttpResponse(f"{text} {request.path_info}".encode())),
    path("plain", lambda request: HttpResponse("plain")),
    path("stores", Stores.as_view()),
    path("baskets", Baskets.as_view()),
    path("divides", Divides.as_view()),
    path("busy", IsBusy.as_view()),
    path("surrogates", RaisesSurrogates.as_view()),
    path("cut-off", CutOff.as_view()),
    path("plainly-stores", lambda request: HttpResponse(store(request.GET["number"]))),
    path("plainly-divides", lambda request: HttpResponse(divide())),
    path("plainly-looks", lambda request: HttpResponse(list(User.objects.filter(pk=request.GET["pk"])))),
    path("plainly-errs", lambda request: HttpResponse(list(User.objects.filter(pk="mine")))),
    path("only-get", lambda request: HttpResponseNotAllowed(["GET"])),
    path("fields", _raising(TooManyFieldsSent())),
    path("big", _raising(RequestDataTooBig())),
    path("host", _raising(DisallowedHost())),
    path("denied", _raising(PermissionDenied())),
    path("missing", _raising(Http404())),
    path("bug", _raising(KeyError("bug"))),
    path("value-error", _raising(ValueError("not of the client"))),
    path("form", lambda request: HttpResponse(len(request.POST))),
]


@pytest.fixture
def client(db, settings) -> Client:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = MIDDLEWARE
    settings.ALLOWED_HOSTS = ["testserver", "localhost"]
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nowhere", 404),
        ("/missing", 404),
        ("/%00", 404),
        ("/%ED%A0%80", 404),
        ("/denied", 403),
        ("/fields", 400),
        ("/host", 400),
        ("/big", 413),
        ("/bug", 500),
        ("/value-error", 500),
        ("/only-get", 405),
    ],
)
def test_an_error_outside_of_views_is_json(client, address, status):
    answer = client.get(address)

    assert answer.status_code == status
    assert answer["Content-Type"] == "application/json"
    assert list(answer.json()) == ["detail"]


def test_a_host_that_is_not_ours_is_told_in_json(client):
    answer = client.get("/plain", headers={"host": "evil example"})

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")


def test_what_is_no_form_is_told_in_json(client):
    answer = client.post("/form", b"--x", content_type="multipart/form-data; boundary=")

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")


def test_the_failure_of_csrf_is_told_in_json(rf):
    answer = answers.csrf_failure(rf.get("/"), reason="No token.")

    assert (answer.status_code, json.loads(answer.content)) == (403, {"detail": "No token."})


def test_a_head_request_gets_no_body(client):
    assert client.head("/only-get").content == b""


@pytest.mark.parametrize("number", ["99999999999", "x", "a%00b"])
@pytest.mark.parametrize("address", ["/stores", "/plainly-stores"])
def test_a_value_that_only_the_database_refuses_is_the_request_s_fault(client, address, number, caplog):
    with transaction.atomic():
        answer = client.get(f"{address}?number={number}")
        transaction.set_rollback(True)

    assert answer.status_code == 400
    assert answer.json() == {"detail": answers.REFUSED}
    assert "value_refused" in caplog.text


def test_a_text_in_place_of_a_number_is_the_request_s_fault_if_it_was_sent(client):
    assert client.get("/plainly-looks?pk=x%00").status_code == 400
    assert client.get("/plainly-errs?pk=x").status_code == 500


@pytest.mark.parametrize("address", ["/divides", "/plainly-divides"])
def test_an_expression_that_goes_wrong_stays_the_server_s_fault(client, address):
    with transaction.atomic():
        answer = client.get(address)
        transaction.set_rollback(True)

    assert answer.status_code == 500


def test_half_of_a_surrogate_pair_is_the_request_s_fault(client):
    assert client.get("/surrogates").status_code == 400


def test_a_body_that_ends_too_soon_is_the_request_s_fault(client):
    assert client.get("/cut-off").json() == {"detail": "The body ended too soon."}


@pytest.mark.parametrize(
    ("error", "is_unstorable"),
    [
        (DataError("NUL"), True),
        (IntegrityError("duplicate"), False),
        (ValueError("A string literal cannot contain NUL (0x00) characters."), True),
        (ValueError("something else"), False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), True),
        (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"), False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), False),
        (psycopg.DataError("raw"), False),
        (None, False),
    ],
)
def test_only_refused_values_are_caught(error, is_unstorable):
    assert answers.is_unstorable(error) is is_unstorable


def test_what_a_middleware_stumbles_over_may_be_the_request_s_fault_too(rf):
    with pytest.raises(DataError), _telling(statuses := [], rf):
        _raising(DataError("NUL"))(rf.get("/"))

    assert statuses == [400]


def test_who_is_busy_says_when_to_come_again(client):
    answer = client.get("/busy")

    assert (answer.status_code, answer["Retry-After"]) == (503, "7")


@pytest.mark.parametrize("charset", ["base64", "hex", "rot13", "undefined", "idna", "zlib"])
@pytest.mark.parametrize("address", ["/plain?a=b%20", "/form", "/nowhere"])
def test_a_charset_that_is_none_is_refused(client, address, charset):
    application = doorstep.guarded(get_wsgi_application())
    kind = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}

    status, _, body = hostile.answer(application, hostile.Ask("POST", address, address, kind, b"a=b"))

    assert (status, json.loads(body)) == (400, {"detail": doorstep.UNREADABLE})


@pytest.mark.parametrize("kind", ["", "text/plain", "text/plain; charset=utf-8"])
def test_a_query_with_too_many_fields_is_refused(client, kind):
    application = doorstep.guarded(get_wsgi_application())
    address = "/plainly-stores?" + "&".join(f"a{number}=1" for number in range(1_100))

    status, content_type, _ = hostile.answer(application, hostile.Ask("GET", address, address, {"Content-Type": kind}))

    assert (status, content_type) == (400, "application/json")


@pytest.mark.parametrize("charset", ["utf-8", "nosuch"])
def test_other_charsets_of_forms_stay_django_s_affair(client, charset):
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    assert client.generic("POST", "/form", b"a=b", kind).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain; charset*=utf-8''%00", "a/b; c*0=d; c*=e", "a/b; charset*=nosuch''c", "a/b; ="]
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_content_type_that_django_fails_at_is_refused_before_django(client, content_type, method):
    application = doorstep.guarded(get_wsgi_application())
    ask = hostile.Ask(method, "/nowhere", "/nowhere", {"Content-Type": content_type})

    status, kind, body = hostile.answer(application, ask)

    assert status == (404 if content_type == "a/b; =" else 400)
    assert kind == "application/json"
    assert json.loads(body or b"{}").keys() <= {"detail"}


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Content-Type": 'a/b;"' + ";" * 54_000}, "Content-Type"),
        ({"Content-Type": "a/b;charset=" + "x" * 600}, "Content-Type"),
        ({"Content-Type": "application/json", "Host": "api-key." * 100}, "Host"),
    ],
)
def test_a_header_that_django_reads_at_once_and_slowly_has_a_length(client, headers, name):
    application = doorstep.guarded(get_wsgi_application())

    status, kind, body = hostile.answer(application, hostile.Ask("POST", "/nowhere", "/nowhere", headers, b"{}"))

    assert (status, kind) == (400, "application/json")
    assert json.loads(body) == {"detail": doorstep.TOO_LONG.format(name)}


@pytest.mark.parametrize(
    "cookie",
    [
        "a=" + "x" * 8_200,
        "a=1; " * 2_000,
        'a="' + '\\"' * 2_000 + '"',
        'a="' + "\\1" * 2_000 + '"',
        "; ".join(f'a{number}="{chr(92)}a{chr(92)}a"' for number in range(520)),
    ],
)
def test_a_cookie_that_takes_long_to_read_is_refused(client, cookie):
    """Python before 3.11.10 and 3.12.6 looks through the rest of a cookie at each escape."""
    application = doorstep.guarded(get_wsgi_application())

    status, kind, body = hostile.answer(application, hostile.Ask("GET", "/plain", "/plain", {"Cookie": cookie}))

    assert (status, kind) == (400, "application/json")
    assert json.loads(body) == {"detail": doorstep.TOO_LONG.format("Cookie")}


def test_the_largest_cookies_that_django_makes_are_taken(client):
    """It keeps messages in one, in which all quotes and commas are escaped."""
    application = doorstep.guarded(get_wsgi_application())
    said = "".join(["\\054", '\\"'] * 340)
    cookie = f'messages="{said}"; sessionid={"x" * 32}; csrftoken={"y" * 64}; other={"z" * 4_000}'

    assert hostile.answer(application, hostile.Ask("GET", "/plain", "/plain", {"Cookie": cookie}))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({f"k{number}": "\0" for number in range(20_000)}),
        json.dumps([1] * 20_000),
        json.dumps([{"code": "?"}] * 20_000),
        json.dumps([{}] * 20_000),
        json.dumps({"code": "a", "lines": ["x"] * 20_000}),
        json.dumps({"code": "a", "notes": {f"k{number}": "x" for number in range(20_000)}}),
    ],
    ids=["texts", "numbers", "objects", "empty", "list", "dictionary"],
)
def test_an_answer_does_not_grow_with_what_is_wrong(client, body):
    answer = client.post("/baskets", body, content_type="application/json")

    assert answer.status_code == 400
    assert 0 < len(answer.content) < 4_000


def test_of_many_errors_the_first_are_told_at_their_place():
    wrong = {"code": ["too long", "no slug"], "lines": {4: ["no number"]}}

    assert shortened([{}, {}, *([wrong] * 100)]) == [{}, {}, *([wrong] * 6), {"code": wrong["code"]}]
    assert shortened(wrong) == wrong
    assert len(shortened({key: ["wrong"] for key in range(100)})) == MOST_ERRORS


@pytest.mark.parametrize("spelling", ["no-such-{}", "utf{}8", "utf-8{}", "{}latin-1"])
def test_no_name_of_a_charset_is_remembered(client, spelling):
    application = doorstep.guarded(get_wsgi_application())

    def ask(name: str) -> None:
        kind = {"Content-Type": f'multipart/form-data; boundary="a b"; charset="{spelling.format(name)}"'}
        hostile.answer(application, hostile.Ask("POST", "/form", "/form", kind, b""))

    ask("-")
    before = len(encodings._cache)
    for number in range(2, 12):
        ask("-" * number)
        ask(f"-{number}-")

    assert len(encodings._cache) == before


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        ("text/plain; charset=UTF-8; format=flowed", "text/plain; charset=UTF-8; format=flowed"),
        ("text/plain; charset=koi8-r", "text/plain; charset=koi8_r"),
        ('multipart/form-data; boundary="a b"; charset=cp1251', 'multipart/form-data; charset=cp1251; boundary="a b"'),
        ('text/plain; charset=nosuch; boundary="é"', "text/plain; charset=unknown"),
        ("text/plain; x=charset", "text/plain; x=charset"),
    ],
)
def test_what_is_said_of_a_body_otherwise_stays(said, passed_on):
    seen = []
    environ = {"REQUEST_METHOD": "GET", "CONTENT_TYPE": said, "wsgi.input": BytesIO(), "QUERY_STRING": ""}

    doorstep.guarded(lambda environ, start: seen.append(environ["CONTENT_TYPE"]) or [])(environ, print)

    assert seen == [passed_on]


def test_too_many_fields_are_not_taken_for_an_accept_header(client):
    answer = client.get("/stores?number=1&" + "&".join(["a=1"] * 1_100))

    assert answer.status_code == 400


@pytest.mark.parametrize("accept", ["a/b; c*=nosuch''d", "a/b; c*0=d; c*=e", "text/html", "é"])
def test_an_accept_header_that_cannot_be_read_accepts_nothing(client, accept):
    answer = client.get("/stores?number=1", headers={"accept": accept})

    assert answer.status_code == 406
    assert answer["Content-Type"] == JSONRenderer.media_type


def test_a_process_without_rest_framework_has_the_doorstep():
    code = "import sys; sys.modules['rest_framework'] = None; from chassis.process.doorstep import guarded"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_doorstep_is_there_before_django_is_set_up():
    code = "from chassis.rest.doorstep import guarded; guarded(lambda environ, start_response: [])"

    subprocess.run([sys.executable, "-c", code], env={**os.environ, "DJANGO_SETTINGS_MODULE": ""}, check=True)


@pytest.mark.parametrize("text", ["caf%C3%A9", "%E5%95%86", "%D9%A3", "%25C3%25A9", "a%20b"])
def test_a_path_is_decoded_once(client, text):
    application = doorstep.guarded(get_wsgi_application())
    path = f"/{text}/said"

    status, _, body = hostile.answer(application, hostile.Ask("GET", path, path))

    assert (status, body.decode()) == (200, f"{unquote(text)} {unquote(path)}")
