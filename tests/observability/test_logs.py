"""All log lines of all processes of a rehearsal: what they have, what they have not, and how they hang together."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.stack import Stack

SCRIPT = Path(__file__).with_name("script.txt")
OBLIGATORY = {"time", "level", "service", "event"}
LEVELS = {"trace", "debug", "info", "warning", "error", "critical"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+00:00)")
MAIL = re.compile(r"[\w.+-]+(@|%40)[\w-]+\.[\w.-]+")
PASSWORD = re.compile(r"://[^/\s\"@]*:[^/\s\"@*]+@")
TOKEN = re.compile(r"eyJ[\w-]{10,}\.[\w-]+")
# Other people's programs, in whose logs are statements and peers; and commands that end, whose output is their answer.
OTHERS = re.compile(r"(postgres.*|rabbitmq.*|broker.*|valkey.*|.*-migrate|loader|prometheus.*)\.log")

Line = Mapping[str, Any]


@pytest.fixture(scope="module")
def rehearsed(stack: Stack) -> Path:
    """The folder of the logs, after customers have been and two capabilities have moved."""
    stack.run(
        *("rehearse", "--script", str(SCRIPT), "--clients", "6", "--processes", "1"),
        *("--requests", "600", "--writes", "50", "--json"),
        seconds=240,
    )
    with stack.client() as client:
        client.get("/api/v1/products?search=anna@post.example", headers={"x-request-id": "anna@post.example"})
        client.get("/api/v1/nothing/anna@post.example?token=opensesame")
        client.post("/api/v1/auth/token", json={"email": "anna@post.example", "password": "opensesame"})
        taken = {"email": "twice@post.example", "password": "open-sesame-7", "full_name": "Anna of Ghent"}
        assert client.post("/api/v1/users", json=taken).status_code == 201
        assert client.post("/api/v1/users", json=taken).status_code == 400
    return stack.folder / "log"


@pytest.fixture(scope="module")
def texts(rehearsed: Path) -> Mapping[str, list[str]]:
    """By file, its lines; the gateway's come up to half a second late."""
    time_limit = time.monotonic() + 30
    while "/api/v1/auth/token" not in (rehearsed / "access.log").read_text()[-4000:]:
        assert time.monotonic() < time_limit
        time.sleep(0.1)
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
    assert {"monolith.log", "users.log", "monolith-worker.log", "users-relay.log", "monolith-references.log"} <= set(texts)
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
    orders = [line for line in _requests(lines, "access.log") if _is_order(line) and line["status"] == 201]
    assert orders

    whole = 0
    for order in orders:
        trace = [line for line in lines if line.get("trace_id") == order["trace_id"]]
        web = [line for line in trace if line["event"] == "request" and line["request_id"] == order["request_id"]]
        # Back: by the request's id one finds nothing that belongs to another trace.
        same = {line.get("trace_id") for line in lines if line.get("request_id") == order["request_id"]}
        assert same == {order["trace_id"]}
        assert {line["service"] for line in web} >= {"gateway", "monolith"}
        whole += any(line["file"].endswith("-worker.log") and line["event"] == "message_handled" for line in trace)
    assert whole, "no order's trace reaches a worker"


def test_a_request_is_logged_once_by_the_process_that_answered_it(lines: list[Line]) -> None:
    answered = {(line["request_id"]) for line in _requests(lines, "access.log") if line.get("details") == "via_upstream"}
    counted: dict[str, int] = dict.fromkeys(answered, 0)
    for line in lines:
        if line["event"] == "request" and line["service"] != "gateway" and line["request_id"] in counted:
            counted[line["request_id"]] += 1

    assert len(counted) > 500
    assert min(counted.values()) >= 1
    for line in lines:
        if line["event"] == "request" and line["service"] != "gateway":
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


def _requests(lines: list[Line], file: str) -> Iterator[Line]:
    return (line for line in lines if line["file"] == file and line["event"] == "request")


def _is_order(line: Line) -> bool:
    return line.get("route") == "/api/v1/orders" and line["method"] == "POST"


def _secrets(stack: Stack) -> Iterator[str]:
    for file in (stack.folder / "secrets").rglob("*"):
        text = file.read_text() if file.is_file() and file.suffix != ".pub" else ""
        yield from (line for line in text.splitlines() if len(line) > 12 and "-----" not in line)
    environment = stack.environment()
    addresses = [*environment["databases"].values(), environment.get("broker") or ""]
    yield from (unquote(password) for password in (urlsplit(each).password for each in addresses) if password)
