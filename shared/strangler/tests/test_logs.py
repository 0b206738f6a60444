"""The lines of the tool's long-lived processes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from strangler.adapters import logs


def told(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(logs.line("parcel_sent", **fields))
    return found


def test_a_line_has_what_all_lines_have() -> None:
    line = told(parcel=7, route=None)

    assert {"time", "level", "service", "event", "parcel"} == line.keys()
    assert (line["level"], line["service"], line["event"]) == ("info", "strangler", "parcel_sent")


def test_no_field_takes_the_place_of_one_that_all_lines_have() -> None:
    assert told(service="forged", time="forged")["service"] == "strangler"


def test_what_must_not_be_in_a_log_is_masked() -> None:
    line = told(reason="cannot reach postgresql://mover:opensesame@db/depot\nfor anna@post.example", password="x")

    assert not [word for word in ("opensesame", "anna", "x@") if word in json.dumps(line)]
    assert line["password"] == "***"


def test_what_libraries_log_and_warn_of_is_a_line_too() -> None:
    code = "import logging, warnings\nfrom strangler.adapters import logs\nlogs.serve()\nlogs.serve()\n"
    code += "logging.getLogger('library').warning('waited %d s', 3)\nwarnings.warn('old')\n"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert [(line["level"], line["logger"]) for line in lines] == [("warning", "library"), ("warning", "py.warnings")]
    assert lines[0]["event"] == "waited 3 s"


def test_a_person_at_a_terminal_gets_the_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    logs.tell("parcel_sent", "the parcel is on its way", parcel=7)

    assert capsys.readouterr() == ("", "the parcel is on its way\n")


def test_a_record_that_has_an_error_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        int("torn")
    except ValueError:
        logs.Handler().emit(
            logging.LogRecord("library", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
        )  # fmt: skip

    assert "torn" in json.loads(capsys.readouterr().out)["exception"]
