"""All log lines of all processes of a rehearsal: what they have, what they have not, and how they hang together."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.stack import Stack
from tests.waiting import eventually

# Of the request of somebody who leaves, whose account is a message to others.
LEAVING = "somebody-leaves"
ANSWERED = {None, "via_upstream", "internal_redirect"}
SCRIPT = Path(__file__).with_name("script.txt")
OBLIGATORY = {"time", "level", "service", "event"}
LEVELS = {"trace", "debug", "info", "warning", "error", "critical"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+00:00)")
MAIL = re.compile(r"[\w.+-]+(@|%40)[\w-]+\.[\w.-]+")
PASSWORD = re.compile(r"://[^/\s\"@]*:[^/\s\"@*]+@")
TOKEN = re.compile(r"eyJ[\w-]{10,}\.[\w-]+")
# Other people's programs, in whose logs are statements and peers; and commands that end, whose output is their answer.
OTHERS = re.compile(r"(postgres.*|epmd|rabbitmq.*|broker.*|valkey.*|.*-migrate|loader|prometheus.*)\.log")

Line = Mapping[str, Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own: others may have moved the session's."""
    with Stack(tmp_path_factory.mktemp("logs")).running() as found:
        yield found


@pytest.fixture(scope="module")
def rehearsed(stack: Stack) -> Path:
    """The folder of the logs, after customers have been and users have moved."""
    stack.run(
        *("rehearse", "--script", str(SCRIPT), "--clients", "6", "--processes", "1"),
        *("--requests", "600", "--writes", "20", "--json"),
        seconds=240,
    )
    with stack.client() as client:
        client.get("/api/v1/products?search=anna@post.example", headers={"x-request-id": "anna@post.example"})
        client.get("/api/v1/nothing/anna@post.example?token=opensesame")
        client.post("/api/v1/auth/token", json={"email": "anna@post.example", "password": "opensesame"})
        taken = {"email": "twice@post.example", "password": "open-sesame-7", "full_name": "Anna of Ghent"}
        assert client.post("/api/v1/users", json=taken).status_code == 201
        assert client.post("/api/v1/users", json=taken).status_code == 400
        credentials = {"email": taken["email"], "password": taken["password"]}
        token = client.post("/api/v1/auth/token", json=credentials).json()["access"]
        own = {"Authorization": f"Bearer {token}", "X-Request-Id": LEAVING}
        left = client.delete("/api/v1/users/me", headers=own)
        assert left.status_code == 204
    _await_line(stack.folder / "log" / "access.log", LEAVING)
    _await_line(stack.folder / "log" / "monolith-worker.log", "message_handled", left.headers["X-Trace-Id"])
    _restart(stack, "monolith", "monolith-worker", "monolith-relay", "monolith-references", "users", "serve")
    return stack.folder / "log"


@pytest.fixture(scope="module")
def texts(rehearsed: Path) -> Mapping[str, list[str]]:
    """By file, its lines."""
    files = [file for file in sorted(rehearsed.glob("*.log")) if not OTHERS.fullmatch(file.name)]
    return {file.name: file.read_text().splitlines() for file in files}


@pytest.fixture(scope="module")
def lines(texts: Mapping[str, list[str]]) -> list[Line]:
    return [json.loads(text) | {"file": name} for name, each in texts.items() for text in each]


def test_each_line_of_each_process_is_one_json_object_with_what_all_have(texts: Mapping[str, list[str]]) -> None:
    silent = {name for name, each in texts.items() if not each}

    for name, each in texts.items():
        for text in each:
            try:
                line = json.loads(text)
            except ValueError:
                pytest.fail(f"{name}: no JSON: {text[:300]}")
            assert isinstance(line, dict)
            assert line.keys() >= OBLIGATORY, (name, text)
            assert line["level"] in LEVELS, (name, text)
            assert TIME.fullmatch(line["time"]), (name, text)
    assert not silent - {"gateway.log"}
    assert {"monolith.log", "users.log", "monolith-worker.log", "users-relay.log", "monolith-references.log"} <= set(
        texts
    )
    assert {"access.log", "serve.log", "supervisor.log"} <= set(texts)


def test_the_services_call_themselves_by_their_names(lines: list[Line]) -> None:
    named = {line["file"]: set() for line in lines}
    for line in lines:
        named[line["file"]].add(line["service"])

    assert named["monolith.log"] == named["monolith-worker.log"] == {"monolith"}
    assert named["users.log"] == named["users-relay.log"] == {"users"}
    assert named["access.log"] == {"gateway"}
    assert named["serve.log"] == named["supervisor.log"] == {"strangler"}


def test_no_line_has_a_secret_of_the_stack(stack: Stack, texts: Mapping[str, list[str]]) -> None:
    secrets = set(_secrets(stack))
    assert len(secrets) > 8

    leaks = {(name, text) for name, each in texts.items() for text in each for secret in secrets if secret in text}

    assert not leaks


@pytest.mark.parametrize("what", [MAIL, PASSWORD, TOKEN], ids=["mail address", "database address", "token"])
def test_no_line_has_one(what: re.Pattern[str], texts: Mapping[str, list[str]]) -> None:
    found = [(name, text) for name, each in texts.items() for text in each if what.search(text)]

    assert not found


def test_no_line_has_what_a_customer_has_written(texts: Mapping[str, list[str]]) -> None:
    words = ("post.example", "opensesame", "open-sesame", "Anna of Ghent")

    assert not [(name, text) for name, each in texts.items() for text in each if any(word in text for word in words)]


def test_from_a_trace_one_finds_its_lines_in_gateway_web_and_worker_and_back(lines: list[Line]) -> None:
    left = [line for line in _requests(lines, "access.log") if line["request_id"] == LEAVING]
    [trace_id] = {line["trace_id"] for line in left}

    trace = [line for line in lines if line.get("trace_id") == trace_id]

    web = [line for line in trace if line["event"] == "request" and line["service"] != "gateway"]
    handled = [line for line in trace if line["event"] == "message_handled"]
    assert {(line["service"], line["request_id"], line["status"]) for line in web} == {("users", LEAVING, 204)}
    assert {(line["file"], line["type"]) for line in handled} == {("monolith-worker.log", "users.user.deleted")}
    # Back: what has the request's id has its trace, and no other.
    assert {line.get("trace_id") for line in lines if line.get("request_id") == LEAVING} == {trace_id}


def test_each_request_that_was_answered_has_one_trace(lines: list[Line]) -> None:
    traces: dict[str, set[str]] = {}
    for line in lines:
        if line["event"] == "request" and line["request_id"] != "***" and line.get("details") in ANSWERED:
            traces.setdefault(line["request_id"], set()).add(line.get("trace_id"))

    assert len(traces) > 500
    assert not [request_id for request_id, found in traces.items() if len(found) != 1 or None in found]


def test_each_request_is_logged_by_the_process_that_answered_it(lines: list[Line]) -> None:
    answered = {line["request_id"] for line in _requests(lines, "access.log") if line.get("details") == "via_upstream"}
    web = [line for line in lines if line["event"] == "request" and line["service"] != "gateway"]

    assert answered - {"***"} <= {line["request_id"] for line in web}
    for line in web:
        assert {"status", "milliseconds", "method", "trace_id", "request_id"} <= line.keys(), line


def test_a_move_is_seen_in_capability_side_and_epoch(lines: list[Line]) -> None:
    users = [line for line in lines if line["event"] == "request" and line.get("capability") == "users"]
    gateway = {(line.get("epoch"), line["side"]) for line in users if line["service"] == "gateway"}
    web = {(line["epoch"], line["side"], line["service"]) for line in users if line["service"] != "gateway"}

    assert {side for _, side in gateway} == {"monolith", "service"}
    assert {side for _, side, _ in web} >= {"service"}
    assert max(epoch for epoch, _, _ in web) == max(epoch or 0 for epoch, _ in gateway)
    assert all((side == "monolith") == (service == "monolith") for _, side, service in web)


def test_a_user_is_called_the_same_by_all_and_by_no_number(lines: list[Line]) -> None:
    called: dict[str, set[str]] = {}
    for line in lines:
        if "user" in line:
            called.setdefault(line["user"], set()).add(line["service"])

    assert all(re.fullmatch("[0-9a-f]{16}", user) for user in called)
    assert any(len(services) > 1 for services in called.values())


def _await_line(file: Path, *words: str) -> None:
    """The gateway's lines come up to half a second late."""

    def told() -> bool:
        return any(all(word in line for word in words) for line in file.read_text().splitlines())

    eventually(told, f"{' and '.join(words)} in {file.name}")


def _restart(stack: Stack, *names: str) -> None:
    """Has processes end and begin again, so that their last and first words are in the logs, too."""
    before = stack.pids()
    for name in names:
        os.kill(before[name], signal.SIGTERM)
    eventually(lambda: not [name for name in names if stack.pids().get(name) in {None, before[name]}], "new processes")


def _requests(lines: list[Line], file: str) -> Iterator[Line]:
    return (line for line in lines if line["file"] == file and line["event"] == "request")


def _secrets(stack: Stack) -> Iterator[str]:
    for file in (stack.folder / "secrets").rglob("*"):
        text = file.read_text() if file.is_file() and file.suffix != ".pub" else ""
        yield from (line for line in text.splitlines() if len(line) > 12 and "-----" not in line)
    environment = stack.environment()
    addresses = [*environment["databases"].values(), environment.get("broker") or ""]
    yield from (unquote(password) for password in (urlsplit(each).password for each in addresses) if password)
