"""`strangler traffic draft`: the file that it writes, from each source, and what it refuses."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import jsonschema
import project
import pytest
import yaml
from click.testing import Result
from strangler.adapters import toml
from strangler.domain.traffic import Answer, Operation, Undecided, Write
from strangler.traffic import merging, openapi, planning, recording, writing
from strangler.traffic.known import Known

FILE = project.FILE
SCHEMA = json.loads((Path(__file__).parents[4] / "docs/reference/json.schema.json").read_text())
At = Callable[..., Result]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.yaml"
    path.write_text(yaml.safe_dump(project.document()))
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return project.recording(tmp_path / "traffic.jsonl")


def drafted(at: At, *words: str) -> str:
    done = at("traffic", "draft", *words)
    assert done.exit_code == 0, done.output
    return Path("traffic.py").read_text()


def questions(text: str) -> str:
    """All questions of the file, in one line."""
    return " ".join(re.sub(r"^\s*#\s*", "", line) for line in text.splitlines() if line.lstrip().startswith("#"))


def loaded(text: str) -> ModuleType:
    module = ModuleType("drafted")
    exec(compile(text, "traffic.py", "exec"), module.__dict__)
    return module


def planned(known: Known) -> str:
    found = toml.load(addresses=False)
    return writing.text(planning.plan(known, found), project="club", name="Traffic")


class Club:
    """Answers as the project would, and keeps what a client says is left."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[Operation] = []
        self.left: list[Write] = []
        self._next = 0

    def play(self, behaviour: Any, most: int = 200) -> None:
        answer = None
        for _ in range(most):
            try:
                operation = behaviour.send(answer)
            except StopIteration:
                return
            self.asked.append(operation)
            assert "{" not in operation.path
            answer = self._answer(operation)
            self.left += [*operation.writes, *(operation.told(answer) if operation.told else ())]

    def _answer(self, operation: Operation) -> Answer:
        self._next += 1
        shape = f"{operation.method} {re.sub(r'/[0-9]+/', '/{}/', operation.path)}"
        content = self.answers.get(shape, {"id": self._next, "access": "t0ken"})
        return Answer(min(operation.expected), {}, json.dumps(content).encode())

    @property
    def paths(self) -> set[str]:
        return {f"{each.method} {re.sub(r'/[0-9]+/', '/{}/', each.path)}" for each in self.asked}


LISTS = {"GET /api/talks/": {"count": 1, "results": [{"id": 5}]}}


def test_a_recording_becomes_clients_whose_writes_can_be_seen(at: At, recorded: Path) -> None:
    module = loaded(drafted(at, "--recording", str(recorded)))
    club = Club({"GET /api/talks/": [{"id": 5}]})

    for number in range(12):
        club.play(module.Traffic("0a1b2c").client(number, Random(number)))

    assert {"POST /api/members/", "POST /api/login/", "POST /api/talks/", "PATCH /api/talks/{}/"} <= club.paths
    assert {"POST /api/talks/{}/publish/", "DELETE /api/members/me/"} <= club.paths
    assert {(one.table, one.kind.value) for one in club.left} == {
        ("members_member", "insert"), ("members_member", "delete"),
        ("talks_talk", "insert"), ("talks_talk", "update"), ("talks_talk", "delete"),
    }  # fmt: skip


def test_a_row_is_found_by_one_key_which_no_write_changes(at: At, recorded: Path) -> None:
    module = loaded(drafted(at, "--recording", str(recorded)))
    club = Club({"GET /api/talks/": [{"id": 5}]})
    for number in range(12):
        club.play(module.Traffic("0a1b2c").client(number, Random(number)))

    keys: dict[str, set[tuple[str, ...]]] = {}
    for one in club.left:
        keys.setdefault(one.table, set()).add(tuple(one.key))
    # The title is changed later.
    assert keys == {"members_member": {("email",)}, "talks_talk": {("id",)}}


def test_what_requests_change_without_sending_it_is_not_expected_to_stay(at: At, recorded: Path) -> None:
    module = loaded(drafted(at, "--recording", str(recorded)))
    club = Club({})
    club.play(module.Traffic("0a1b2c").writer("talks", 1, Random(1)), most=20)

    created = next(one for one in club.left if one.table == "talks_talk")
    assert dict(created.values).items() >= {"room": "AB", "starts": "2026-05-01"}.items()
    assert "seats" not in created.values


def test_a_change_sends_what_the_project_took(at: At, recorded: Path) -> None:
    text = drafted(at, "--recording", str(recorded))

    assert 'body = {"title": self.new("title")}' in text


def test_who_changes_an_account_is_known_as_before(at: At, recorded: Path) -> None:
    changed = project.request(
        "PUT", "/api/members/me/", 200,
        body={"email": "a@example.com", "password": {"$secret": "password"}, "name": "Grace"},
        answer={"id": 1}, rows=[project.row("members_member", "update", name="Grace")],
    )  # fmt: skip
    ended = project.request("POST", "/api/members/me/logout/", 204)
    routes = FILE.replace("GET,PATCH,DELETE /api/members/me/", "GET,PATCH,PUT,POST,DELETE /api/members/me/*")
    Path("strangler.toml").write_text(routes)
    text = drafted(at, "--recording", str(project.recording(recorded, [*project.RECORDED, changed, ended])))
    club = Club({})
    for number in range(12):
        club.play(loaded(text).Traffic("0a1b2c").client(number, Random(number)))

    puts = [each.body for each in club.asked if each.method == "PUT"]
    made = {each.body["email"]: each.body["password"] for each in club.asked if each.path == "/api/members/"}
    assert puts
    assert {each["email"]: each["password"] for each in puts}.items() <= made.items()
    keys = {tuple(one.key.items()) for one in club.left if one.table == "members_member" and one.kind == "update"}
    assert keys == {(("email", each["email"]),) for each in puts}
    assert "logout/: it ends what the client is logged in by" in questions(text)


def test_two_clients_send_no_text_twice(at: At, recorded: Path) -> None:
    module = loaded(drafted(at, "--recording", str(recorded)))
    club = Club({})
    for number in (1, 11):
        club.play(module.Traffic("0a1b2c").writer("talks", number, Random(1)), most=30)

    titles = [one.body["title"] for one in club.asked if one.path == "/api/talks/"]
    assert len(titles) > 10
    assert len(set(titles)) == len(titles)
    emails = [one.body["email"] for one in club.asked if one.path == "/api/members/"]
    assert len(emails) == len(set(emails)) == 2


def test_a_document_alone_makes_requests_and_asks_what_they_leave(at: At, document: Path) -> None:
    text = drafted(at, "--openapi", str(document))
    club = Club(LISTS)
    club.play(loaded(text).Traffic("0a1b2c").client(1, Random(1)))

    assert {"POST /api/members/", "POST /api/login/", "POST /api/talks/"} <= club.paths
    assert not club.left
    assert "Which row does it leave?" in text
    talk = next(one for one in club.asked if (one.method, one.path) == ("POST", "/api/talks/"))
    assert talk.body["room"] == "US"
    assert (talk.body["kind"], talk.body["starts"], talk.expected) == ("short", "2026-01-31", {201})
    assert talk.headers == {"Authorization": "Bearer t0ken"}


def test_a_document_with_the_tables_says_what_is_left(at: At, document: Path, recorded: Path) -> None:
    known = openapi.read(document)
    known = Known(known.source, known.requests, recording.read(recorded).tables, scheme=known.scheme)
    text = planned(known)
    club = Club(LISTS)
    for number in range(4):
        club.play(loaded(text).Traffic("0a1b2c").client(number, Random(number)))

    # A note goes with its talk, and one cannot tell with which: so no talk is deleted.
    assert {(one.table, one.kind.value) for one in club.left} == {
        ("members_member", "insert"), ("members_member", "update"), ("talks_talk", "insert"), ("talks_talk", "update"),
        ("talks_note", "insert"), ("talks_note", "update"),
    }  # fmt: skip
    talk = next(one for one in club.left if one.table == "talks_talk" and one.kind == "insert")
    assert (tuple(talk.key), set(talk.values)) == (("title",), {"room", "kind"})
    assert "DELETE /api/talks/{id}/: not asked" in text


def test_questions_name_what_was_not_made(at: At, document: Path) -> None:
    asked = questions(drafted(at, "--openapi", str(document)))

    assert "? PUT /api/talks/{id}/slides/: how is a body of application/pdf made?" in asked
    assert "? PATCH /api/talks/{id}/: of talks, and openapi.yaml does not have it" in asked
    assert "? DELETE /api/members/me/: not asked" in asked
    assert "/inside/" not in asked
    assert "Left out: 1 more request of openapi.yaml" in asked


def test_what_no_test_had_done_is_a_question(at: At, recorded: Path) -> None:
    asked = questions(drafted(at, "--recording", str(recorded)))

    assert "? PUT /api/talks/{pk}/slides/: no test had it done: it was answered with 403" in asked


def test_a_log_gives_shares_and_the_document_bodies(at: At, document: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    lines = [("POST", "/api/members/", 201, 40), ("POST", "/api/login/", 200, 40)]
    lines += [("GET", "/api/talks/", 200, 0)] * 60 + [("POST", "/api/talks/", 201, 9)] * 20
    lines += [("GET", "/api/talks/12/", 200, 0)] * 15 + [("GET", "/api/talks/31/", 404, 0)] * 5
    write(log, lines)

    text = drafted(at, "--log", str(log), "--openapi", str(document))

    steps = loaded(text).STEPS
    assert steps == {"list_talks": 60, "create_talk": 20, "see_talk": 20}
    alone = drafted(at, "--log", str(log), "--force")
    module = loaded_with(alone, CLUB_TOKEN="Bearer x")
    # Its bodies are left to a person, who says them by name.
    assert isinstance(module.SEND_TALKS_BODY, Undecided)
    assert "which body does POST /api/talks/ take?" in module.SEND_TALKS_BODY.question
    assert alone.splitlines()[int(module.SEND_TALKS_BODY.place.rpartition(":")[2]) - 1].startswith("SEND_TALKS_BODY")
    module.SEND_TALKS_BODY = lambda visit: {"title": f"Talk {visit.number}"}
    club = Club(LISTS)
    club.play(module.Visit("r", 3, Random(1)).send_talks())
    assert [one.body for one in club.asked] == [{"title": "Talk 3"}]


def loaded_with(text: str, **environment: str) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return loaded(text)


def write(log: Path, lines: Iterable[tuple[str, str, int, int]], after: str = "") -> None:
    entries = [
        {"event": "request", "method": method, "path": path, "status": status, "bytes_received": received}
        for method, path, status, received in lines
    ]
    log.write_text("".join(json.dumps(each) + "\n" for each in entries) + after)


def test_a_torn_end_of_a_log_is_left_out_and_told(at: At, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write(log, [("GET", "/api/talks/", 200, 0)] * 3, after='{"event":"request","meth')

    assert "1 line at the end of access.log was torn" in questions(drafted(at, "--log", str(log)))


def test_without_a_registration_the_environment_names_the_account(at: At, document: Path) -> None:
    content = project.document()
    del content["paths"]["/api/members/"]
    document.write_text(json.dumps(content))
    text = drafted(at, "--openapi", str(document))

    with pytest.raises(ValueError, match="set CLUB_USERNAME and CLUB_PASSWORD"):
        loaded(text)
    club = Club(LISTS)
    club.play(loaded_with(text, CLUB_USERNAME="a@example.com", CLUB_PASSWORD="x").Traffic("r").client(1, Random(1)))
    assert club.asked[0].body == {"email": "a@example.com", "password": "x"}


def test_without_a_login_the_environment_has_the_header(at: At, document: Path) -> None:
    content = project.document()
    del content["paths"]["/api/members/"], content["paths"]["/api/login/"]
    document.write_text(json.dumps(content))
    text = drafted(at, "--openapi", str(document))

    club = Club(LISTS)
    club.play(loaded_with(text, CLUB_TOKEN="Token 9").Traffic("r").client(1, Random(1)))
    assert {one.headers["Authorization"] for one in club.asked} == {"Token 9"}


def test_staff_act_only_where_the_environment_names_them(at: At, recorded: Path) -> None:
    lines = [
        one | {"staff": True} if one["method"] == "PATCH" and one["status"] == 200 else one for one in project.RECORDED
    ]
    text = drafted(at, "--recording", str(project.recording(recorded, lines)))

    club = Club({})
    for number in range(10):
        club.play(loaded(text).Traffic("0a1b2c").client(number, Random(number)))
    assert "PATCH /api/talks/{}/" not in club.paths
    assert "CLUB_STAFF_USERNAME" in text


def test_forms_and_a_session_behind_a_login_page(at: At, recorded: Path) -> None:
    made = project.request(
        "POST", "/api/talks/", 302, access="session", form=True, body={"title": "On fences", "room": "AB"},
        location="/api/talks/7/",
        rows=[project.row("talks_talk", "insert", id="7", title="On fences", room="AB")],
    )  # fmt: skip
    text = drafted(at, "--recording", str(project.recording(recorded, [made])))
    club = Club({})
    club.play(loaded_with(text, CLUB_USERNAME="ada", CLUB_PASSWORD="x").Traffic("r").writer("talks", 1, Random(1)), 6)

    opened, entered, *rest = club.asked
    assert (opened.path, entered.path, entered.form) == ("/login/", "/login/", {"username": "ada", "password": "x"})
    assert rest[0].form
    assert rest[0].form["room"] == "AB"
    assert club.left[0].key == {"title": rest[0].form["title"]}


def test_who_was_led_to_the_login_was_not_answered(at: At, recorded: Path) -> None:
    seen = project.request("GET", "/api/talks/", 200, access="session", answer=[])
    away = project.request("GET", "/api/talks/", 302, access="", signed_in=False, location="/login/?next=/api/talks/")
    text = drafted(at, "--recording", str(project.recording(recorded, [away, seen, away])))
    club = Club({})
    club.play(loaded_with(text, CLUB_USERNAME="ada", CLUB_PASSWORD="x").Traffic("r").client(1, Random(1)), 3)

    assert [one.path for one in club.asked] == ["/login/", "/login/", "/api/talks/"]


def test_a_file_names_no_account_that_it_has_not(at: At, recorded: Path) -> None:
    seen = project.request("GET", "/api/talks/", 200, access="", signed_in=False, answer=[])
    gone = project.request("PUT", "/api/talks/{pk}/slides/", 404, access="session")
    text = drafted(at, "--recording", str(project.recording(recorded, [seen, gone])))
    club = Club({})
    club.play(loaded(text).Traffic("r").client(1, Random(1)), 1)

    assert [one.path for one in club.asked] == ["/api/talks/"]


def test_a_request_that_was_not_recorded_is_a_question(at: At, recorded: Path) -> None:
    unread = {"kind": "unread", "method": "POST", "path": "/api/talks/", "error": "MultiPartParserError"}
    text = drafted(at, "--recording", str(project.recording(recorded, [*project.RECORDED, unread])))

    assert "POST /api/talks/: the recording could not read it (MultiPartParserError)" in questions(text)


@pytest.mark.parametrize("source", ["--openapi", "--recording"])
def test_the_file_is_plain_code(at: At, document: Path, recorded: Path, source: str) -> None:
    text = drafted(at, source, str(document if source == "--openapi" else recorded))

    ast.parse(text)
    ruff = str(Path(sys.executable).with_name("ruff"))
    for words in (["check"], ["format", "--check", "--line-length", "120"]):
        subprocess.run([ruff, *words, "--isolated", "traffic.py"], check=True, capture_output=True)
    assert "shop" not in text


def test_nothing_is_written_over_without_force(at: At, document: Path) -> None:
    drafted(at, "--openapi", str(document))
    Path("traffic.py").write_text("mine")

    refused = at("traffic", "draft", "--openapi", str(document), "--json")
    assert refused.exit_code == 2
    assert Path("traffic.py").read_text() == "mine"
    jsonschema.validate(json.loads(refused.stdout), SCHEMA)
    assert drafted(at, "--openapi", str(document), "--force") != "mine"


def test_print_writes_nothing_and_json_is_what_its_page_says(at: At, document: Path, recorded: Path) -> None:
    shown = at("traffic", "draft", "--openapi", str(document), "--print")
    assert shown.stdout.startswith('"""Traffic of club')
    assert not Path("traffic.py").exists()

    told = json.loads(at("traffic", "draft", "--recording", str(recorded), "--json").stdout)
    jsonschema.validate(told, {**SCHEMA, "anyOf": [{"$ref": "#/$defs/traffic"}]})
    assert told["scenario"] == "traffic:Traffic"
    assert {"talks_talk"} in [set(each["tables"]) for each in told["requests"]]
    assert told["next"] == ["strangler rehearse --self-test"]


BAD = [
    ("--openapi", "swagger: '2.0'\npaths: {}\n", "openapi.yaml: no OpenAPI document of version 3"),
    ("--openapi", "openapi: 3.0.0\npaths:\n  - [\n", "openapi.yaml:4"),
    ("--openapi", '{"openapi": "3.0.0",\n "paths": }', "openapi.yaml:2"),
    ("--openapi", "openapi: 3.0.0\n", "openapi.yaml: paths"),
    ("--openapi", "openapi: 3.0.0\npaths: {/a: {get: {responses: 3}}}\n", "paths: /a: get"),
    ("--openapi", "openapi: 3.0.0\npaths: {/a: 3}\n", "paths: /a"),
    ("--openapi", "\xff", "openapi.yaml"),
    ("--log", '{"method": "GET", "path": "/api/talks/", "status": 200}\nnonsense\n{}\n', "openapi.yaml:2"),
    ("--log", '{"method": "GETT", "path": "/", "status": 200}\n', "openapi.yaml:1"),
    ("--log", '{"event": "started"}\n', "tells of no request"),
    ("--log", "[" * 100_000 + "\n{}\n", "openapi.yaml:1"),
    ("--recording", '{"kind": "project", "form": 99, "tables": {}}\n', "openapi.yaml:1"),
    ("--recording", '{"kind": "request", "method": "GET"}\n', "openapi.yaml:1"),
    ("--recording", "", "has no request"),
]


@pytest.mark.parametrize(("source", "text", "told"), BAD)
def test_bad_input_is_refused_with_its_place(at: At, document: Path, source: str, text: str, told: str) -> None:
    document.write_text(text, encoding="latin-1")

    done = at("traffic", "draft", source, str(document))

    assert done.exit_code == 2
    assert told in done.output
    assert "[traffic-source]" in done.output
    assert not Path("traffic.py").exists()


@pytest.mark.parametrize("source", ["--openapi", "--log", "--recording"])
def test_a_file_that_is_not_there_is_named(at: At, source: str) -> None:
    done = at("traffic", "draft", source, "nowhere.txt")

    assert (done.exit_code, "nowhere.txt: cannot be read" in done.output) == (2, True)


def test_a_document_that_is_too_large_is_not_read(at: At, document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "LARGEST_BYTES", 100)

    assert "no more than 100 are read" in at("traffic", "draft", "--openapi", str(document)).output


@pytest.mark.parametrize("words", [[], ["--log", "a", "--recording", "b"], ["--openapi", "a", "--class", "no name"]])
def test_a_wrong_command_line_is_a_usage_error(at: At, words: list[str]) -> None:
    assert at("traffic", "draft", *words).exit_code == 2


def test_paths_of_no_route_are_refused(at: At, document: Path) -> None:
    document.write_text(json.dumps({"openapi": "3.0.0", "paths": {"/x": {"get": {"responses": {}}}}}))

    done = at("traffic", "draft", "--openapi", str(document))

    assert (done.exit_code, "compare its paths with the routes" in done.output) == (2, True)


def test_a_document_completes_only_what_the_log_lacks(document: Path, recorded: Path, at: At) -> None:
    merged = merging.merge(recording.read(recorded), openapi.read(document))

    assert merged.source == "traffic.jsonl and openapi.yaml"
    talk = next(each for each in merged.requests if str(each) == "POST /api/talks/")
    assert talk.rows


@pytest.mark.parametrize("subject", [[], ["draft"], ["record"]])
def test_the_help_has_an_example(at: At, subject: list[str]) -> None:
    shown = at("traffic", *subject, "--help")

    assert (shown.exit_code, "strangler traffic" in shown.output.partition("Examples:")[2]) == (0, True)
