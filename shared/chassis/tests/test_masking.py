"""What must not stand in a log does not, in whatever form it comes."""

from __future__ import annotations

import json
import math
import time

import pytest
from chassis.process.masking import LONGEST_CHARACTERS, MASK, Masker, secrets_of

TELLING = {
    "an address with a password": ("cannot reach postgresql://app:s3cr3t@db:5432/shelf", "s3cr3t"),
    "a password that is escaped": ("amqp://app:p%2Fw%40d@broker:5672//", "p%2Fw%40d"),
    "a password that should have been": ("postgresql://app:pw/wd@db/shelf", "pw/wd"),
    "a mail address": ("no account of anna.maria+books@post.example.org", "post.example"),
    "a mail address in an address": ("GET /readers/anna%40post.example", "post.example"),
    "a mail address of other letters": ("jürgen@bücher.example is gone", "bücher"),
    "a row's key": ('unique "u"\nDETAIL:  Key (name, born)=(Anna (of "x"),\n 1.1.) already exists.', "Anna"),
    "a row": ("null value\nDETAIL:  Failing row contains (7, Anna\nof Ghent, null).\nCONTEXT:  x", "Anna"),
    "a value": ('invalid input syntax for type integer: "Anna"', "Anna"),
    "a copied value": ('CONTEXT:  COPY readers, line 1, column name: "Anna"', "Anna"),
    "a statement": ("syntax error\nLINE 1: SELECT * FROM readers WHERE name = 'Anna'", "Anna"),
    "a bearer's token": ("sent Authorization: Bearer abcdef.ghijkl", "abcdef"),
    "a token alone": ("got eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl", "eyJzdWIi"),
    "a cookie": ("headers: Set-Cookie: sessionid=abc; Path=/", "abc"),
    "a word for word password": ("login(user='anna', password='opensesame')", "opensesame"),
    "a JSON one": ('{"api_key": "open\\"sesame", "page": 7}', "sesame"),
    "a form": ("page=7&access_token=opensesame&x=1", "opensesame"),
    "a PEM": ("-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----", "MC4CAQ"),
}


@pytest.mark.parametrize("text", ["bearer abcdef1", "basic abcdef1", "a@b.example", "token=x", "cookie: x"])
def test_a_short_text_is_looked_at_too(text):
    assert MASK in Masker().text(text)


@pytest.mark.parametrize("name", TELLING)
def test_it_is_masked_and_what_stands_around_it_is_not_lost(name):
    text, hidden = TELLING[name]

    masked = Masker().text(f"before\n{text}")

    assert hidden not in masked
    assert masked.startswith("before\n")
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "book_lent", "celery@shelf ready.", "Traceback:\n  File \"x.py\", line 3\nKeyError: 'title'",
        "http://shelf:80/a?b=c", "12:30:00",
    ],
)  # fmt: skip
def test_what_tells_nothing_stays_as_it_is(text):
    assert Masker().text(text) == text


def test_a_column_s_name_stays():
    assert "Key (email)=(***)" in Masker().text("DETAIL:  Key (email)=(a) already exists.")


def test_a_secret_of_the_environment_is_masked_wherever_it_stands(tmp_path):
    (tmp_path / "key").write_text("from/a file!\n")
    environment = {
        "SHELF_SECRET": "opensesame",
        "OTHER_KEY_FILE": str(tmp_path / "key"),
        "DATABASE_URL": "postgresql://app:p%2Fass%2Fword@db/shelf",
        "GONE_KEY_FILE": "/nowhere",
        "PATH": "/usr/bin:/usr/local/bin",
    }
    masker = Masker(secrets_of(environment))

    masked = masker.text("opensesame, from/a file!, from%2Fa%20file%21, p%2Fass%2Fword, p/ass/word, /usr/bin")

    assert masked == f"{MASK}, {MASK}, {MASK}, {MASK}, {MASK}, /usr/bin"


@pytest.mark.parametrize("name", ["password", "new_password", "X-Api-Key", "Authorization", "email", "full_name"])
def test_a_field_is_masked_by_its_name(name):
    assert Masker().field("given", {name: ["Anna"], "page": 7}) == {name: MASK, "page": 7}


def test_every_value_becomes_json():
    class Odd:
        def __str__(self) -> str:
            raise ValueError

    circle: list[object] = []
    circle.append(circle)
    values = [math.nan, math.inf, b"x", {1: {2}}, Odd(), circle, "\ud800", None, True, 7, 1.5]

    told = json.loads(json.dumps(Masker().field("x", values), allow_nan=False))

    assert told[-4:] == [None, True, 7, 1.5]


def test_a_long_text_loses_its_middle():
    masked = Masker().text("a " * LONGEST_CHARACTERS + "end.")

    assert len(masked) < LONGEST_CHARACTERS + 10
    assert masked.endswith("end.")


# Pieces of what is masked, and what repeats in them: a stranger may send any of them as a name of a host.
PIECES = (
    *("api-key.", "token.", "password-", "token='", 'token="\\', "token : ", "a.", "+a", "a@", "a@b.", "a%40", "%40"),
    *(
        "://",
        "a://",
        "eyJa.",
        "eyJ-",
        "malformed",
        "Key (",
        "Key ()=",
        "Failing row contains (",
        "\n",
        "cookie ",
        "LINE 1",
    ),
    *("-----BEGIN", "-----BEGIN PRIVATE KEY", "COPY a, line", "bearer ", "authorization:\n"),
)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", ["", '"@'])
def test_no_text_costs_much_more_than_another_of_its_length(piece, end):
    def cost(text: str) -> float:
        masker = Masker()
        costs = []
        for _ in range(3):
            began = time.thread_time()
            masker.text(text)
            costs.append(time.thread_time() - began)
        return min(costs)

    characters = 2_000
    assert cost(f"é{piece * characters}"[:characters] + end) < 50 * cost("word " * (characters // 5))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("next=/books?token=abcdef", "next=/books?token=***"),
        ("password => geheim-1", "password => ***"),
        ('{"token": "a\\"b", "page": 2}', '{"token": ***, "page": 2}'),
        ('token="cut off', "token=*** off"),
        ("see a%40b%40example.org", "see a%40***"),
        ("from -postgres://u:p@host/db", "from -postgres://***@host/db"),
        ("x-eyJhbGciOi.eyJzdWI.c2ln-", "x-***"),
    ],
)
def test_what_stands_in_the_midst_of_something_is_masked(text, masked):
    assert Masker().text(text) == masked
