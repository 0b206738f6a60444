"""strangler.toml: what is read, and the message for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from strangler.adapters import toml
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Database, Parent, Reference
from strangler.domain.route import Route

WHOLE = """
[project]
name = "depot"
state = "run/state"
ledger = "old"
monolith = "web"

[gateway]
port = 8080

[secrets]
SECRET_KEY = "text"
TOKEN_KEY_FILE = "ed25519"

[databases.old]
embedded = true

[databases.things]
url_env = "THINGS_URL"
replication_url = "postgresql://inside/things"

[processes.web]
directory = "app"
command = ["serve", "web"]
database = "old"
http = true
health = "/up"
migrate = ["serve", "migrate"]
environment = { COLOUR = "red" }

[processes.things]
address = "http://things:80"

[loader]
process = "web"
command = ["serve", "load"]
sample = ["--few"]

[traffic]
scenario = "tests.traffic:Crowd"

[broker]
url = "amqp://broker"

[capabilities.things]
tables = ["things_thing", "other.part"]
process = "things"
database = "things"
routes = ["GET,POST /things", "* /things/{id}/parts/*"]

[[capabilities.things.references]]
table = "bin"
column = "thing_id"

[[capabilities.things.references]]
table = "auth_mark"
column = "thing_id"
deletes = false

[[capabilities.things.parents]]
table = "things_thing"
column = "owner_id"
deletes = false

[stays]
tables = ["bin", "auth_*"]
sequences = ["old_*"]
"""


@pytest.fixture(autouse=True)
def things_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINGS_URL", "postgresql://outside/things")


def written(folder: Path, text: str) -> Path:
    path = folder / "strangler.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        toml.load(written(folder, text))
    return caught.value


def test_the_whole_of_a_file_is_read(tmp_path: Path) -> None:
    project = toml.load(written(tmp_path, WHOLE))

    assert (project.name, project.ledger, project.monolith) == ("depot", "old", "web")
    assert project.path == tmp_path / "strangler.toml"
    assert project.state == tmp_path / "run/state"
    assert project.gateway.port == 8080
    assert project.secrets == {"SECRET_KEY": "text", "TOKEN_KEY_FILE": "ed25519"}
    assert project.databases["old"] == Database("old", embedded=True)
    assert project.databases["things"].url == "postgresql://outside/things"
    assert project.databases["things"].replication_url == "postgresql://inside/things"
    web = project.processes["web"]
    assert (web.directory, web.command, web.http, web.health) == (
        tmp_path / "app",
        ["serve", "web"],
        True,
        "/up",
    )
    assert (web.migrate, web.environment) == (["serve", "migrate"], {"COLOUR": "red"})
    assert project.processes["things"].address == "http://things:80"
    assert project.loader is not None
    assert project.loader.sample == ["--few"]
    assert (project.scenario, project.broker_url, project.brokered) == ("tests.traffic:Crowd", "amqp://broker", True)
    assert project.stays == ["bin", "auth_*"]
    assert project.staying_sequences == ["old_*"]


@pytest.mark.parametrize(
    ("broker", "brokered"),
    [("[broker]\nembedded = false", False), ("[broker]\nembedded = true", True), ("[broker]", True), ("", True)],
)
def test_only_who_says_so_has_no_broker(tmp_path: Path, broker: str, brokered: bool) -> None:
    text = WHOLE.replace('[broker]\nurl = "amqp://broker"', broker)

    assert toml.load(written(tmp_path, text)).brokered is brokered


def test_a_capability_is_read(tmp_path: Path) -> None:
    capability = toml.load(written(tmp_path, WHOLE)).capabilities["things"]

    assert capability.tables == ["things_thing", "other.part"]
    assert capability.routes == [
        Route(frozenset({"GET", "POST"}), "/things"),
        Route(frozenset(), "/things/{id}/parts/*"),
    ]
    assert (capability.process, capability.database) == ("things", "things")
    assert capability.references == [Reference("bin", "thing_id"), Reference("auth_mark", "thing_id", deletes=False)]
    assert capability.parents == [Parent("things_thing", "owner_id", deletes=False)]


def test_a_reference_without_a_constraint_says_where_it_points(tmp_path: Path) -> None:
    text = WHOLE.replace('column = "thing_id"', 'column = "thing_id"\nto = "public.things_thing.code"', 1)

    first, second = toml.load(written(tmp_path, text)).capabilities["things"].references

    assert (first.to, second.to) == ("things_thing.code", None)


def test_a_database_may_have_an_outbox(tmp_path: Path) -> None:
    text = WHOLE.replace("embedded = true", 'embedded = true\noutbox = "public.outgoing"', 1)

    databases = toml.load(written(tmp_path, text)).databases

    assert databases["old"].outbox == "outgoing"
    assert databases["things"].outbox is None


def test_the_file_is_found_by_environment_variable_or_in_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, WHOLE)

    monkeypatch.chdir(tmp_path)
    assert toml.load().path == path
    monkeypatch.chdir("/")
    monkeypatch.setenv("STRANGLER_CONFIG", str(path))
    assert toml.load().path == path


def test_a_missing_file_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file") as caught:
        toml.load(tmp_path / "nowhere.toml")

    assert caught.value.place == str(tmp_path / "nowhere.toml")
    assert "STRANGLER_CONFIG" in caught.value.remedy


# The old text, the text in its place, and the place, message and remedy that follow.
def test_an_interpreter_is_the_projects_or_a_processs_own_and_stays_the_link_that_it_is(tmp_path: Path) -> None:
    text = WHOLE.replace('name = "depot"', 'name = "depot"\npython = "env/bin/python"\npostgres = "/opt/pg/bin"')
    both = text.replace('directory = "app"', 'directory = "app"\npython = "other/bin/python"')
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to("/usr/bin/env")

    of_project, own = toml.load(written(tmp_path, text)), toml.load(written(tmp_path, both))

    assert of_project.processes["web"].python == tmp_path / "env" / "bin" / "python"
    assert own.processes["web"].python == tmp_path / "other" / "bin" / "python"
    assert of_project.postgres == Path("/opt/pg/bin")


MISTAKES = [
    (
        "embedded = true",
        'embedded = true\napp_url = "postgresql://app@h/old"',
        "databases.old.app_url",
        "the database has no url",
        "remove it",
    ),
    ("[project]", "[project", "strangler.toml", "is not TOML", "mend"),
    ("[traffic]", "[trafic]", "trafic", "is not a known key", "did you mean traffic?"),
    (
        "[traffic]",
        "[colours]",
        "colours",
        "is not a known key",
        "known here: broker, canary, capabilities, databases, faults, gateway, loader, processes, project, secrets, "
        "stays, traffic",
    ),
    ('state = "run', 'stat = "run', "project.stat", "is not a known key", "did you mean state?"),
    ('name = "depot"', "name = 7", "project.name", "must be text, not a number", "write text"),
    ('name = "depot"', 'name = "De pot"', "project.name", "'De pot' is not a name", "must match"),
    ('name = "depot"', "", "project.name", "is missing", "give text"),
    ('name = "depot"', 'nam = "depot"', "project.name", "is missing", "did you mean it by nam?"),
    ('ledger = "old"', 'ledger = "olt"', "project.ledger", "'olt' is unknown", "did you mean old?"),
    ('monolith = "web"', 'monolith = "x"', "project.monolith", "'x' is unknown", "known: things, web"),
    ("port = 8080", "port = 80800", "gateway.port", "80800 is not a port", "65535"),
    ("port = 8080", "port = true", "gateway.port", "must be a number, not true or false", "a number"),
    ("port = 8080", "trusted_hops = -1", "gateway.trusted_hops", "-1 is out of range", "from 0 to 10"),
    ("port = 8080", "trusted_hops = 11", "gateway.trusted_hops", "11 is out of range", "from 0 to 10"),
    ("port = 8080", 'trusted_hops = "1"', "gateway.trusted_hops", "must be a number, not text", "a number"),
    ("port = 8080", "trusted_hops = true", "gateway.trusted_hops", "not true or false", "a number"),
    ("port = 8080", 'trusted_hops = 1\ntrusted_hops_env = "H"', "gateway.trusted_hops_env", "both given", "keep one"),
    ("port = 8080", 'admin = "http://g"', "gateway", "an admin but no address", "give both"),
    ("port = 8080", 'address = "u"\naddress_env = "U"', "gateway.address_env", "both given", "keep one"),
    ('"ed25519"', '{ kind = "rsa", for = ["old"] }', "secrets.TOKEN_KEY_FILE.kind", "is not a kind", "known:"),
    (
        '"ed25519"',
        '{ kind = "text", for = ["odl"] }',
        "secrets.TOKEN_KEY_FILE.for[0]",
        "'odl' is unknown",
        "known: old",
    ),
    ('"ed25519"', '{ kind = "text", for = [] }', "secrets.TOKEN_KEY_FILE.for", "is empty", "at least one"),
    ('"ed25519"', '{ kind = "text", of = "old" }', "secrets.TOKEN_KEY_FILE.for", "is missing", "give a list"),
    (
        '"ed25519"',
        '"rsa"',
        "secrets.TOKEN_KEY_FILE",
        "is not a kind of secret",
        "known: ed25519, ed25519-each, text, text-each",
    ),
    ("embedded = true", "", "databases.old", "needs either", "url_env"),
    ("embedded = true", 'embedded = true\nurl = "p"', "databases.old", "needs either", "url_env"),
    ("embedded = true", 'embedded = "yes"', "databases.old.embedded", "must be true or false", "write"),
    ("[databases.old]", "[databases.Old]", "databases.Old", "is not a name", "lower-case"),
    ('"THINGS_URL"', '"NO_URL"', "databases.things.url_env", "NO_URL is not set", "export NO_URL"),
    ('url_env = "THINGS_URL"', 'url_env = "U"\nurl = "p"', "databases.things.url_env", "both", "keep one"),
    ("embedded = true", "embedded = true\noutbox = 1", "databases.old.outbox", "must be text", "write text"),
    ("embedded = true", 'embedded = true\noutbox = "a.b.c"', "databases.old.outbox", "is not a table", "must match"),
    ("embedded = true", 'embedded = true\noutbx = "box"', "databases.old.outbx", "not a known key", "mean outbox?"),
    ("embedded = true", 'embedded = true\noutbox = "other.part"', "capabilities.things.tables[1]", "never moves", "it"),
    ("[processes.web]", "[processes.broker]", "processes.broker", "uses itself", "another name"),
    ('["serve", "web"]', '"serve"', "processes.web.command", "must be a list, not text", "a list"),
    ('["serve", "web"]', '["serve", 1]', "processes.web.command[1]", "must be text", "write text"),
    ('command = ["serve", "web"]', "", "processes.web", "either a command or an address", "address"),
    ('command = ["serve", "web"]', 'address_env = "NO_URL"', "processes.web.address_env", "NO_URL is not set", "FILE"),
    ('directory = "app"', 'directory = "app"\naddress = "u"', "processes.web", "either a command or an address", "env"),
    ('directory = "app"', "", "processes.web", "no directory", "directory ="),
    ('database = "old"', 'database = "odl"', "processes.web.database", "'odl' is unknown", "old?"),
    ('COLOUR = "red"', "COLOUR = 1", "processes.web.environment.COLOUR", "must be text", "write text"),
    ('process = "web"', 'process = "wob"', "loader.process", "'wob' is unknown", "did you mean web?"),
    ('"things_thing"', '"a.b.thing"', "capabilities.things.tables[0]", "not a table", "must match"),
    ('"things_thing", "other.part"', "", "capabilities.things.tables", "is empty", "at least one"),
    ('process = "things"', 'process = "thing"', "capabilities.things.process", "unknown", "things?"),
    ('database = "things"', 'database = "old"', "capabilities.things.database", "lives in", "own database"),
    ('"GET,POST /things"', '"GET things"', "capabilities.things.routes[0]", "not a route", "methods and a"),
    ('"GET,POST /things"', '"GET /a/*/b"', "capabilities.things.routes[0]", "not a route", "methods and"),
    ('"GET,POST /things"', '"GET,PUSH /t"', "capabilities.things.routes[0]", "PUSH is not a method", "GET"),
    (
        'column = "thing_id"',
        'column = "x"\nto = 7',
        "capabilities.things.references[0].to",
        "must be text",
        "write text",
    ),
    ('column = "thing_id"', "", "capabilities.things.references[0].column", "is missing", "give text"),
    ('table = "things_thing"', 'table = "bin"', "capabilities.things.parents", "no table of", "name the moved table"),
    ('"old_*"', '"a.b.*"', "stays.sequences[0]", "not a sequence or pattern", "must match"),
    ('"auth_*"', '"a.b.*"', "stays.tables[1]", "not a table or pattern", "must match"),
    ('url = "amqp://broker"', 'url_env = "NO_URL"', "broker.url_env", "NO_URL is not set", "export NO_URL"),
    ('url = "amqp://broker"', 'embedded = true\nurl = "b"', "broker", "needs either", "keep one"),
    ('url = "amqp://broker"', 'host = "b"', "broker.host", "is not a known key", "url"),
]


@pytest.mark.parametrize(("right", "wrong", "place", "message", "remedy"), MISTAKES)
def test_a_mistake_is_told_with_place_and_remedy(
    tmp_path: Path, right: str, wrong: str, place: str, message: str, remedy: str
) -> None:
    assert right in WHOLE

    error = refusal(tmp_path, WHOLE.replace(right, wrong, 1))

    assert error.place in (place, f"strangler.toml: {place}")
    assert message in error.message
    assert remedy in error.remedy
    assert error.exit_code == 2


SECOND = """
[capabilities.boxes]
tables = ["%s"]
process = "things"
database = "things"
routes = ["%s"]
"""


def test_a_table_belongs_to_one_capability(tmp_path: Path) -> None:
    error = refusal(tmp_path, WHOLE + SECOND % ("things_thing", "GET /boxes"))

    assert error.place == "strangler.toml: capabilities.boxes.tables[0]"
    assert error.message == "things_thing is also at capabilities.things.tables[0]"


def test_a_sequence_belongs_to_one_capability(tmp_path: Path) -> None:
    boxes = SECOND % ("box", "GET /boxes")
    wrong = WHOLE.replace('process = "things"', 'process = "things"\nsequences = ["public.stamps", "desk.Stamps"]', 1)

    error = refusal(tmp_path, wrong + boxes + 'sequences = ["stamps"]\n')

    assert error.place == "strangler.toml: capabilities.boxes.sequences[0]"
    assert error.message == "stamps is also at capabilities.things.sequences[0]"


def test_a_table_is_named_once(tmp_path: Path) -> None:
    error = refusal(tmp_path, WHOLE.replace('"other.part"', '"things_thing"'))

    assert error.place == "strangler.toml: capabilities.things.tables[1]"


def test_a_route_belongs_to_one_capability(tmp_path: Path) -> None:
    error = refusal(tmp_path, WHOLE + SECOND % ("boxes_box", "PATCH /things/{thing}/parts/7"))

    assert error.place == "strangler.toml: capabilities.boxes.routes[0]"
    assert "overlaps" in error.message
    assert "capabilities.things.routes[1]" in error.message


def test_a_process_that_speaks_no_http_cannot_take_a_capability(tmp_path: Path) -> None:
    text = WHOLE.replace('address = "http://things:80"', 'directory = "."\ncommand = ["work"]\ndatabase = "things"')

    error = refusal(tmp_path, text)

    assert error.place == "strangler.toml: capabilities.things.process"
    assert "http = true" in error.remedy
