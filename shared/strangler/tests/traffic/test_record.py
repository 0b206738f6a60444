"""`strangler traffic record`: how a command is run with the recording, and what becomes of what it has written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import project
import pytest
from click.testing import Result
from strangler.traffic import running

FILE = project.FILE
SCHEMA = json.loads((Path(__file__).parents[4] / "docs/reference/json.schema.json").read_text())
At = Callable[..., Result]
# Two processes, as tests run in parallel are.
TESTS = """
import json, os, pathlib, sys
path = os.environ["STRANGLER_RECORDING"]
lines = [{"kind": "project", "form": 1}, {"kind": "request", "test": "t"}]
for number in (11, 12):
    pathlib.Path(f"{path}.{number}").write_text("".join(json.dumps(line) + "\\n" for line in lines))
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("words", "run"),
    [
        (["python", "manage.py", "test"], ["python", "-m", running.MODULE, "manage.py", "test"]),
        (["python3.12", "-m", "pytest", "-q"], ["python3.12", "-m", running.MODULE, "-m", "pytest", "-q"]),
        (["/a/python", "-W", "error", "-B", "x.py"], ["/a/python", "-W", "error", "-B", "-m", running.MODULE, "x.py"]),
        (["pytest", "tests"], ["pytest", "tests"]),
        (["manage.py", "test"], [sys.executable, "-m", running.MODULE, "manage.py", "test"]),
    ],
)
def test_python_runs_the_recording_and_pytest_has_it_as_a_plugin(words: list[str], run: list[str]) -> None:
    assert running.command(words, Path(sys.executable)) == run
    environment = running.environment({"PYTEST_ADDOPTS": "-x"}, Path("a.jsonl"))
    assert environment["PYTEST_ADDOPTS"] == f"-x -p {running.MODULE}"
    assert Path(environment[running.VARIABLE]).is_absolute()


@pytest.mark.parametrize("code", [0, 1])
def test_what_each_process_has_written_becomes_one_file(at: At, code: int) -> None:
    Path("tests.py").write_text(TESTS)

    done = at("traffic", "record", "--json", "--", sys.executable, "tests.py", str(code))

    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    jsonschema.validate(told, {**SCHEMA, "anyOf": [{"$ref": "#/$defs/traffic"}]})
    assert (told["requests"], told["exit_code"], [one["id"] for one in told["findings"]]) == (
        2, code, ["tests-failed"] * code,
    )  # fmt: skip
    kinds = [json.loads(line)["kind"] for line in Path("traffic.jsonl").read_text().splitlines()]
    assert kinds == ["project", "request", "request"]
    assert not list(Path().glob("traffic.jsonl.*"))


def test_a_command_that_asks_nothing_is_told(at: At) -> None:
    done = at("traffic", "record", "--", sys.executable, "-c", "pass")

    assert done.exit_code == 2
    assert "no request was recorded" in done.output
    assert not Path("traffic.jsonl").exists()


def test_a_command_that_is_not_there_is_told(at: At) -> None:
    done = at("traffic", "record", "--", "no-such-program")

    assert (done.exit_code, "no-such-program: cannot be started" in done.output) == (2, True)


def test_a_recording_is_not_written_over(at: At) -> None:
    Path("traffic.jsonl").write_text("mine")
    Path("tests.py").write_text(TESTS)

    assert at("traffic", "record", "--", sys.executable, "tests.py", "0").exit_code == 2
    assert Path("traffic.jsonl").read_text() == "mine"
    assert at("traffic", "record", "--force", "--", sys.executable, "tests.py", "0").exit_code == 0
    assert Path("traffic.jsonl").read_text() != "mine"
