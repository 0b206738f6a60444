from __future__ import annotations

import json
import logging
import logging.config
import subprocess
import sys

import pytest
from chassis.process import about, logs, tracing


@pytest.fixture
def formatter():
    return logs.JsonFormatter("library")


def record(message: str, **extra) -> logging.LogRecord:
    return logging.getLogger("shelf").makeRecord("shelf", logging.INFO, __file__, 1, message, (), None, extra=extra)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"LOG_SERVICE": "services/lending"}, "lending"),
        ({"LOG_SERVICE": "lending", "OTEL_SERVICE_NAME": "x"}, "lending"),
        ({"OTEL_SERVICE_NAME": "lending-worker"}, "lending-worker"),
    ],
)
def test_a_process_has_a_name_before_it_knows_its_settings(monkeypatch, environment, named):
    for name in ("LOG_SERVICE", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert logs.service_name() == named


def test_a_record_is_one_line_with_its_event_and_fields(formatter):
    line = formatter.format(record("book_lent", book=7, title="Emma\n"))

    assert "\n" not in line
    fields = json.loads(line)
    assert fields["event"] == "book_lent"
    assert fields["service"] == "library"
    assert (fields["book"], fields["title"]) == (7, "Emma\n")
    assert fields["time"].endswith("Z")


def test_an_exception_is_a_field(formatter):
    entry = record("book_lost")
    try:
        int("torn page")
    except ValueError:
        entry.exc_info = sys.exc_info()

    line = formatter.format(entry)

    assert "\n" not in line
    assert "torn page" in json.loads(line)["exception"]


def test_a_value_that_json_does_not_know_becomes_text(formatter):
    assert json.loads(formatter.format(record("book_lent", shelf={1})))["shelf"] == "{1}"


def test_the_request_id_is_in_every_line_of_the_request(formatter, rf):
    lines = []

    def view(request):
        from django.http import HttpResponse

        lines.append(json.loads(formatter.format(record("book_lent"))))
        return HttpResponse()

    response = logs.RequestIdMiddleware(view)(rf.get("/", headers={"x-request-id": "abc-1"}))

    assert lines[0]["request_id"] == "abc-1"
    assert response.headers["X-Request-Id"] == "abc-1"
    assert "request_id" not in json.loads(formatter.format(record("later")))


@pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "{}"])
def test_an_id_that_could_forge_a_log_line_is_replaced(client, offered):
    answer = client.get("/", headers={"x-request-id": offered})

    assert answer.headers["X-Request-Id"] != offered
    assert len(answer.headers["X-Request-Id"]) == 32


def test_a_complaint_is_told_when_it_begins_when_it_changes_and_when_it_is_over(caplog):
    caplog.set_level(logging.INFO)
    complaint = logs.Complaint(logging.getLogger("library"), "shelf_away")

    for reason in ("moved", "moved", "painted", "painted"):
        complaint.make(reason)
    for _ in range(2):
        complaint.over()

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "shelf_away"),
        ("WARNING", "shelf_away"),
        ("INFO", "shelf_away_over"),
    ]
    assert [record.reason for record in caplog.records[:2]] == ["moved", "painted"]


def test_what_is_wrong_again_is_told_again(caplog):
    complaint = logs.Complaint(logging.getLogger("library"), "shelf_away")
    complaint.make("moved")
    complaint.over()

    complaint.make("moved")

    assert [record.message for record in caplog.records] == ["shelf_away"] * 2


def test_celery_tells_of_its_tries_once_a_minute_and_of_all_else_each_time(monkeypatch):
    seldom = logs.Seldom()
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])

    def passes(template: str) -> bool:
        return seldom.filter(logging.LogRecord("celery.beat", logging.ERROR, "", 0, template, (), None))

    assert [passes("beat: Connection error: %s.") for _ in range(3)] == [True, False, False]
    assert [passes("beat: something else") for _ in range(2)] == [True, True]
    now[0] += logs.Seldom.EVERY
    assert passes("beat: Connection error: %s.")


def test_the_configuration_is_what_logging_accepts():
    logging.config.DictConfigurator(logs.configuration("library"))


def told(formatter: logs.JsonFormatter, message: str, **extra) -> dict:
    return json.loads(formatter.format(record(message, **extra)))


def test_a_line_has_what_was_noted_of_the_present_work(formatter):
    with about.about(capability="books", task="lend"):
        about.note(epoch=3)
        line = told(formatter, "book_lent", task="return")
    about.note(epoch=4)

    assert (line["capability"], line["epoch"], line["task"]) == ("books", 3, "return")
    assert told(formatter, "later").keys().isdisjoint({"capability", "epoch", "task"})


def test_a_line_has_the_present_trace(formatter):
    with tracing.following("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"):
        line = told(formatter, "book_lent")

    assert line["trace_id"] == "ab" * 16
    assert "trace_id" not in told(formatter, "later")


@pytest.mark.parametrize("name", ["event", "time", "level", "service", "logger"])
def test_no_field_of_a_caller_takes_the_place_of_one_that_all_lines_have(formatter, name):
    assert told(formatter, "book_lent", **{name: "forged"})[name] != "forged"


def test_nothing_in_a_record_can_end_its_line(formatter):
    text = "a\nb\r\x00\x1b[31m\u2028\u0085\ud800"

    line = formatter.format(record(text, title=text))

    assert line.isascii()
    assert not [character for character in line if ord(character) < 32]
    assert json.loads(line)["title"] == text


def test_arguments_that_do_not_fit_are_no_reason_to_lose_the_line(formatter):
    entry = logging.LogRecord("shelf", logging.INFO, __file__, 1, "lent %d of %d", ("x",), None)

    assert json.loads(formatter.format(entry))["event"].startswith("lent %d of %d")


def test_an_exception_s_text_has_nothing_of_a_row(formatter):
    entry = record("book_lost")
    error = ValueError("duplicate key\nDETAIL:  Key (email)=(anna@post.example) already exists.")
    entry.exc_info = (ValueError, error, None)

    exception = json.loads(formatter.format(entry))["exception"]

    assert "Key (email)=(***)" in exception
    assert "anna" not in exception
    assert "ValueError" in exception


def test_who_logs_a_user_s_number_gets_the_pseudonym(formatter):
    line = told(formatter, "book_lent", user=7)

    assert line["user"] == about.pseudonym(7) == told(formatter, "x", user_id=about.pseudonym("7"))["user_id"]


@pytest.fixture
def fresh_key():
    """No key is known from before, nor afterwards."""
    about._key.cache_clear()
    yield
    about._key.cache_clear()


def test_two_projects_with_one_log_key_call_a_user_the_same(monkeypatch, settings, fresh_key):
    monkeypatch.setenv("LOG_KEY", "shared")
    called = []
    for settings.SECRET_KEY in ("one", "other"):
        about._key.cache_clear()
        called.append(about.pseudonym(7))

    assert called[0] == called[1]
    assert about.pseudonym(8) != called[0]


def test_without_a_log_key_the_secret_key_decides(monkeypatch, settings, fresh_key):
    monkeypatch.delenv("LOG_KEY", raising=False)
    called = []
    for settings.SECRET_KEY in ("one", "other"):
        about._key.cache_clear()
        called.append(about.pseudonym(7))

    assert called[0] != called[1]


def test_a_log_key_that_cannot_be_read_is_logged_and_stops_nothing(monkeypatch, fresh_key, caplog):
    monkeypatch.setenv("LOG_KEY_FILE", "/nowhere")

    assert len(about.pseudonym(7)) == about.PSEUDONYM_CHARACTERS
    assert [entry.message for entry in caplog.records] == ["log_key_unreadable"]


OUTPUT = """
import logging.config, sys
from chassis.process import logs
logging.config.dictConfig(logs.configuration("library"))
{prepare}
logging.getLogger("shelf").info("book_lent")
{act}
"""


def run(prepare: str, act: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OUTPUT.format(prepare=prepare, act=act)], capture_output=True, text=True, check=False
    )


def test_a_process_that_serves_logs_to_standard_output_and_a_command_beside_its_answer():
    serving, command = run("logs.serve()"), run("print('the answer')")

    assert json.loads(serving.stdout)["event"] == "book_lent"
    assert serving.stderr == ""
    assert command.stdout == "the answer\n"
    assert json.loads(command.stderr)["event"] == "book_lent"


def test_what_nobody_has_caught_is_a_line_too():
    crash = "import threading, warnings\nwarnings.warn('old')\n"
    crash += "thread = threading.Thread(target=lambda: 1 / 0)\nthread.start(); thread.join()\nraise KeyError('gone')"

    done = run("logs.serve()", crash)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    assert [line["event"] for line in lines if line["level"] == "critical"] == ["crashed", "crashed"]
    assert len(lines) == 4
