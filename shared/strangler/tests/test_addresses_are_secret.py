"""Messages name the place of an address with a password, and never print any part of the address."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from strangler.adapters import toml
from strangler.adapters.postgres.session.connection import connect, describe
from strangler.adapters.postgres.session.dsn import flaw, without_secrets
from strangler.cli.main import VERBS
from strangler.domain.address import Address, flaw_of_broker, flaw_of_web, shown
from strangler.domain.errors import StackError
from strangler.stack import state

CANARY = "canary"
BROKEN_DATABASES = [
    f"postgresql://u:pa/{CANARY}@h/db",
    f"postgresql://u:12/{CANARY}@h/db",
    f"postgresql://u:12/{CANARY}?x=y@h/db",
    f"postgresql://u:p@{CANARY}@h/db",
    f"postgresql://u:p@h@{CANARY}/db",
    f"postgresql://u:{CANARY}%zz@h/db",
    f"postgresql://u:{CANARY}%00@h/db",
    f"postgresql://u:{CANARY}@h:port/db",
    f"postgresql://u:p@h:{CANARY}/db",
    f"postgresql://u:{CANARY}@[::1/db",
    f"postgresql://u:{CANARY}@[::1]x/db",
    f"postgresql://u:{CANARY}@h/db?passwrd=x",
    f"postgresql://u:p@h/db?{CANARY}=x",
    f"postgresql://u:p@h/db?{CANARY}",
    f"postgresql://u:p@h/db?sslpassword={CANARY}&sslmod=require",
    f"postgresql://u:{CANARY}@h1:1,h2:b/db",
    f"postgresql://u:{CANARY}@h x/db",
    f"postgresql:/u:{CANARY}@h/db",
    f"postgres//u:{CANARY}@h/db",
    f"mysql://u:{CANARY}@h/db",
    f"host=h password=a {CANARY}",
    f"host=h password=a {CANARY}=x",
    f"host=h password='{CANARY}",
    f"host=h port={CANARY}",
    f"host=h,{CANARY}! password=a",
    CANARY,
]
BROKEN_BROKERS = [
    CANARY,
    f"//u:{CANARY}@h",
    f"amqp:/u:{CANARY}@h",
    f"amqp://u:pa/{CANARY}@h//",
    f"amqp://u:12/{CANARY}@h//",
    f"amqp://u:12#{CANARY}@h//",
    f"amqp://u:12?{CANARY}@h//",
    f"amqp://u:{CANARY}@h:port//",
    f"amqp://u:{CANARY}@[::1//",
    f"amqp://u:{CANARY}@h//;amqp://u:12/{CANARY}@h2//",
    f"redis://:{CANARY}@h:99999/0",
]
BROKEN_WEBS = [
    CANARY,
    f"http://u:{CANARY}@h",
    f"http://{CANARY}@h",
    f"http://h:{CANARY}",
    f"https://h/?token={CANARY}",
    f"ftp://u:{CANARY}@h",
    f"http://u:12/{CANARY}@h",
]
GOOD_DATABASES = [
    f"postgresql://u:{CANARY}@h:5432/db?sslmode=verify-full",
    f"postgres://u:{CANARY}@h1:5432,h2:5433/db",
    f"postgresql://u:{CANARY}@[2001:db8::1]:5432/db",
    f"postgresql://u:{CANARY}%2F%3F%23%40%3A%25@h/db",
    f"postgresql://u:#?:{CANARY}@h/db",
    f"postgresql://u:{CANARY}@%2Fvar%2Frun%2Fpostgresql/db",
    f"postgresql:///db?host=/var/run/postgresql&user=u&password={CANARY}@x",
    f"host=h user=u password='{CANARY} x' dbname=db",
    f"host=/var/run/postgresql password={CANARY}",
    f"service=library password={CANARY}",
    f"postgresql://u@h/db?passfile=/run/pass&sslpassword={CANARY}",
]
FILE = """
[project]
name = "depot"
ledger = "old"
monolith = "web"
[gateway]
address_env = "GATEWAY"
admin = "http://g:1"
[broker]
url_env = "BROKER"
[databases.old]
url_env = "OLD"
replication_url_env = "INSIDE"
app_url_env = "APP"
[databases.new]
url = "postgresql://new/new"
[processes.web]
address_env = "WEB"
[processes.shelf]
address = "http://shelf"
[capabilities.shelf]
tables = ["shelf"]
process = "shelf"
database = "new"
routes = ["GET /shelves"]
[secrets]
KEY = "text"
"""
GOOD = {
    "OLD": "postgresql://u:p@127.0.0.1:1/old",
    "INSIDE": "postgresql://u:p@127.0.0.1:1/old",
    "BROKER": "amqp://u:p@127.0.0.1:1//",
    "WEB": "http://127.0.0.1:1",
    "GATEWAY": "http://127.0.0.1:1",
}
WORDS = {
    "canary": ["canary", "shelf", "10"],
    **{verb: [verb, "shelf"] for verb in ("start", "verify", "switch", "reverse", "resync", "complete", "cancel")},
    "secrets": ["secrets", "--to", "{folder}/secrets"],
    "render": ["render", "k8s", "--kind", "ingress", "--host", "h.example"],
    "manage": ["manage", "web", "check"],
    "fault": ["fault", "list"],
    "rehearse": ["rehearse", "--clients", "1"],
}
# These commands need no address for what they make or stop.
DEAF = {"init", "extract", "traffic", "secrets", "down", "up", "console"}


@pytest.mark.parametrize("text", BROKEN_DATABASES)
def test_a_broken_address_of_a_database_is_refused_and_not_repeated(text: str) -> None:
    found = flaw(text)

    assert found is not None
    assert CANARY not in "".join(found)
    assert CANARY not in describe(text)
    assert CANARY not in f"{Address(text)} {Address(text)!r}"


@pytest.mark.parametrize("text", GOOD_DATABASES)
def test_a_good_address_of_a_database_is_taken_and_shown_without_its_password(text: str) -> None:
    assert flaw(text) is None
    assert CANARY not in describe(text)
    assert CANARY not in f"{Address(text)} {Address(text)!r} {[Address(text)]}"


@pytest.mark.parametrize("text", BROKEN_BROKERS)
def test_a_broken_address_of_a_broker_is_refused(text: str) -> None:
    found = flaw_of_broker(text)

    assert found is not None
    assert CANARY not in found + shown(text)


@pytest.mark.parametrize(
    "text", ["amqp://u:p@h//", "amqps://u:p%2F@h:5671/vhost", "redis://:p@h/0", "amqp://u:p@h//;amqp://u:p@h2:1//"]
)
def test_a_good_address_of_a_broker_is_taken(text: str) -> None:
    assert flaw_of_broker(text) is None
    assert "p@" not in shown(text)


@pytest.mark.parametrize("text", BROKEN_WEBS)
def test_a_process_has_no_password_in_its_address(text: str) -> None:
    found = flaw_of_web(text)

    assert found is not None
    assert CANARY not in found + shown(text)


@pytest.mark.parametrize("text", ["http://h", "https://h:8443", "http://[::1]:80", "http://h:80/"])
def test_a_good_address_of_a_process_is_taken_and_shown_as_it_is(text: str) -> None:
    assert flaw_of_web(text) is None
    assert str(Address(text)) == text


def test_a_process_has_no_path_in_its_address() -> None:
    assert flaw_of_web("http://h:80/under") == "has a path, which no request would be sent with"


def test_an_address_is_whole_to_libraries() -> None:
    address = Address(Address("postgresql://u:p@h/db"))

    assert (address.secret, sql.Literal(address).as_string(None)) == (
        "postgresql://u:p@h/db",
        "'postgresql://u:p@h/db'",
    )
    assert psycopg.conninfo.conninfo_to_dict(address)["password"] == "p"
    assert copy.deepcopy(address).secret == json.loads(json.dumps(address)) == address.secret


@pytest.mark.parametrize("text", [*BROKEN_DATABASES, f"postgresql://u:{CANARY}@127.0.0.1:1/db?sslmode={CANARY}"])
def test_a_session_that_cannot_be_opened_says_nothing_of_the_password(text: str) -> None:
    with pytest.raises(StackError) as caught:
        connect(text.replace("@h", "@127.0.0.1"), purpose="test")

    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_words_of_a_server_are_told_without_the_password() -> None:
    told = without_secrets(f'FATAL: user "u" with {CANARY} failed', f"postgresql://u:{CANARY}@h/db")

    assert told == 'FATAL: user "u" with … failed'


def _run(folder: Path, words: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "strangler.cli.main", *(word.format(folder=folder) for word in words)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "STRANGLER_STATE": str(folder / "state"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("text", BROKEN_DATABASES)
def test_a_broken_address_on_the_command_line_is_refused(tmp_path: Path, text: str) -> None:
    done = _run(tmp_path, ["init", "--database", text.replace("{", "{{").replace("}", "}}")], {})

    assert done.returncode == 2, done.stderr
    assert "--database" in done.stderr
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in DEAF])
def test_each_verb_refuses_a_broken_address_by_its_place(tmp_path: Path, verb: str) -> None:
    (tmp_path / "strangler.toml").write_text(FILE)

    done = _run(tmp_path, WORDS.get(verb, [verb]), {**GOOD, "OLD": BROKEN_DATABASES[1]})

    assert done.returncode == 2, done.stderr
    assert "databases.old.url_env" in done.stderr
    assert "OLD" in done.stderr
    assert "→" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "text", "place"),
    [
        ("OLD", BROKEN_DATABASES[0], "databases.old.url_env"),
        ("INSIDE", BROKEN_DATABASES[3], "databases.old.replication_url_env"),
        ("APP", BROKEN_DATABASES[3], "databases.old.app_url_env"),
        ("BROKER", BROKEN_BROKERS[3], "broker.url_env"),
        ("WEB", BROKEN_WEBS[1], "processes.web.address_env"),
        ("GATEWAY", BROKEN_WEBS[3], "gateway.address_env"),
        ("OLD_FILE", BROKEN_DATABASES[0], "databases.old.url_env"),
        ("OLD_FILE", f"postgresql://u:{CANARY}@h/db", "databases.old.url_env"),
    ],
)
def test_each_address_is_refused_by_its_place(tmp_path: Path, variable: str, text: str, place: str) -> None:
    (tmp_path / "strangler.toml").write_text(FILE)
    variables = {**GOOD, variable: text}
    if variable.endswith("_FILE"):
        del variables[variable.removesuffix("_FILE")]

    done = _run(tmp_path, ["status"], variables)

    assert (done.returncode, CANARY in done.stdout + done.stderr) == (2, False), done.stderr
    assert place in done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "place"),
    [
        ('url_env = "OLD"', f'url_env = "postgresql://u:{CANARY}@h/db"', "databases.old.url_env"),
        ('url_env = "OLD"', f'url = ["postgresql://u:{CANARY}@h/db"]', "databases.old.url"),
        ('url_env = "BROKER"', f'url = {{a = "{CANARY}"}}', "broker.url"),
        ('KEY = "text"', f'KEY = "{CANARY}"', "secrets.KEY"),
        ('url = "postgresql://new/new"', f'url = "postgresql://u:1/{CANARY}@h/new"', "databases.new.url"),
    ],
)
def test_what_stands_at_the_wrong_place_in_the_file_is_not_repeated(
    tmp_path: Path, right: str, wrong: str, place: str
) -> None:
    (tmp_path / "strangler.toml").write_text(FILE.replace(right, wrong))

    done = _run(tmp_path, ["status"], GOOD)

    assert (done.returncode, CANARY in done.stdout + done.stderr) == (2, False), done.stderr
    assert f"strangler.toml: {place}" in done.stderr


def test_who_cannot_be_reached_is_named_without_the_password(tmp_path: Path) -> None:
    (tmp_path / "strangler.toml").write_text(FILE)

    done = _run(tmp_path, ["status"], {**GOOD, "OLD": f"postgresql://u:{CANARY}@127.0.0.1:1/old"})

    assert (done.returncode, CANARY in done.stdout + done.stderr) == (2, False)
    assert "postgresql://127.0.0.1:1/old" in done.stderr


def test_what_the_environment_tells_arrives_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strangler.toml").write_text(FILE)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    project = toml.load(tmp_path / "strangler.toml")

    found = state.endpoints_behind(project)

    assert found.databases["old"].encode() == GOOD["OLD"].encode()
    assert state.endpoints(project).broker.encode() == GOOD["BROKER"].encode()
    assert state.environment_report(project)["databases"]["old"] == GOOD["OLD"]
