"""`strangler extract` as a person types it: what it says, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
from halves import ROOT, TINY, TINY_FILE, Tiny
from strangler.adapters import toml
from strangler.extract import entries, rerun, worklist
from strangler.extract.entries import Programs

SCHEMA = json.loads((ROOT / "docs/reference/json.schema.json").read_text())


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path / "tiny")


def read(printed: str) -> dict[str, object]:
    """The JSON, if it is what its page says."""
    told: dict[str, object] = json.loads(printed)
    jsonschema.validate(told, {**SCHEMA, "anyOf": [{"$ref": "#/$defs/extract"}]})
    return told


def test_it_writes_a_service_and_says_what_it_took_and_what_is_left(tiny: Tiny) -> None:
    done = tiny.extract()

    assert done.returncode == 0, done.stderr
    assert f"wrote {tiny.target}: " in done.stdout
    for line in (
        "lines of Python: ",
        "left to decide: ",
        "added to strangler.toml: [databases.tiny], [processes.tiny]",
    ):
        assert line in done.stdout
    assert done.stdout.rstrip().endswith("strangler preflight tiny")
    assert os.access(tiny.target / "manage.py", os.X_OK)
    assert (tiny.target / "tiny/migrations/0001_initial.py").is_file()
    assert tiny.beside() == []
    project = toml.load(tiny.file, addresses=False)
    assert project.processes["tiny"].directory == tiny.target
    assert tiny.file.read_text().startswith(TINY_FILE)


def test_json_says_the_same_as_the_work_list(tiny: Tiny) -> None:
    done = tiny.extract("--json")

    told = read(done.stdout)
    listed = json.loads(tiny.text(worklist.DATA))
    jsonschema.validate(listed, {**SCHEMA, "anyOf": [{"$ref": "#/$defs/worklist"}]})
    assert told["decisions"] == listed["decisions"]
    assert (told["written"], told["folder"]) == (True, str(tiny.target))
    assert told["lines"] == listed["lines"]
    for one in listed["decisions"]:
        assert f"<!-- {one['id']} -->" in tiny.text(worklist.PAGE)
    said = {one["says"] for one in listed["decisions"]}
    assert "TINY_LIMIT was left out: nothing that came along reads it" in said


@pytest.mark.parametrize("words", [("--dry-run",), ("--print",), ("--dry-run", "--json")])
def test_a_dry_run_writes_nothing(tiny: Tiny, words: tuple[str, ...]) -> None:
    file = tiny.file.read_text()

    done = tiny.extract(*words)

    assert done.returncode == 0, done.stderr
    assert not tiny.target.exists()
    assert tiny.file.read_text() == file
    if "--json" in words:
        assert read(done.stdout)["written"] is False
    else:
        assert done.stdout.splitlines()[0].startswith(str(tiny.target))
        assert "# tiny: what is left to decide" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"name": "tinny"}, "has no capability tinny; did you mean tiny?"),
        ({"name": "legacy"}, "no model of the project has a table of legacy"),
        ({"to": "project/tiny"}, "is not empty, and `strangler extract` has not written it"),
        ({"to": "project"}, "holds the project itself"),
        ({"to": "."}, "holds the project itself"),
        ({"to": "strangler.toml"}, "is not empty"),
        ({"to": "strangler.toml/x"}, "cannot be written"),
    ],
)
def test_bad_input_is_refused_with_its_place_and_nothing_is_written(
    tiny: Tiny, words: dict[str, str], says: str
) -> None:
    before = sorted(map(str, tiny.folder.rglob("*")))

    done = tiny.extract(**words)

    assert done.returncode == 2
    assert says in done.stderr
    assert "→" in done.stderr
    assert "Traceback" not in done.stderr
    after = [one for one in sorted(map(str, tiny.folder.rglob("*"))) if "__pycache__" not in one]
    assert after == before


@pytest.mark.parametrize("words", [(), ("tiny",), ("tiny", "--to", "x", "--relations", "none")])
def test_a_command_line_that_lacks_something_is_refused(tiny: Tiny, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        tiny.command(*words), cwd=tiny.folder, env=tiny.environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_help_has_an_example() -> None:
    program = str(Path(sys.executable).with_name("strangler"))
    shown = subprocess.run([program, "extract", "--help"], capture_output=True, text=True, check=True).stdout

    assert "strangler extract billing --to services/billing" in shown


def test_a_project_that_cannot_be_set_up_is_told_with_its_place(tiny: Tiny) -> None:
    tiny.project("tiny/models.py", "import nowhere\n")

    done = tiny.extract()

    assert done.returncode == 2
    assert "tiny/models.py:1" in done.stderr
    assert "No module named 'nowhere'" in done.stderr


def test_django_that_is_not_content_leaves_nothing_behind_and_is_told_with_its_place(tiny: Tiny) -> None:
    # The check knows where it is run, and is content with the project alone.
    tiny.project("tiny/views.py", f"{TINY['tiny/views.py']}\nimport pathlib\nassert pathlib.Path('huge').is_dir()\n")

    done = tiny.extract()

    assert done.returncode == 1
    assert "nothing was written" in done.stderr
    assert f"tiny/views.py:{len(TINY['tiny/views.py'].splitlines()) + 3}" in done.stderr
    assert not tiny.target.exists()
    assert tiny.beside() == []

    forced = tiny.extract("--unchecked", "--json")

    assert forced.returncode == 0, forced.stderr
    (told,) = [one for one in read(forced.stdout)["decisions"] if "makemigrations" in one["says"]]  # type: ignore[attr-defined,index]
    assert told["open"] is True  # type: ignore[index]


def test_a_description_from_elsewhere_is_enough_beside_the_code(tiny: Tiny) -> None:
    described = tiny.folder / "described.json"
    code = (
        "import pathlib; from chassis.management.commands import strangler_init as one; "
        f"one.write(pathlib.Path({str(described)!r}))"
    )
    subprocess.run([sys.executable, "manage.py", "shell", "-c", code], cwd=tiny.folder / "project", check=True)

    done = tiny.extract("--from", str(described))

    assert done.returncode == 0, done.stderr
    assert (tiny.target / rerun.RECORD).is_file()


def test_a_file_that_has_the_service_already_is_not_touched(tiny: Tiny) -> None:
    assert tiny.extract().returncode == 0
    file = tiny.file.read_text()

    done = tiny.extract(to="services/other")

    assert tiny.file.read_text() == file
    assert "strangler.toml has this service in services/tiny" in done.stdout


@pytest.mark.parametrize("end", ["\n", "", "# the end"])
def test_entries_are_added_with_what_the_service_has(tmp_path: Path, end: str) -> None:
    file = tmp_path / "strangler.toml"
    file.write_text(TINY_FILE.rstrip("\n") + end)
    programs = Programs("config", worker=True, schedule=True, outbox=True)

    done = entries.complete(file, "tiny", tmp_path / "services/tiny", programs)

    assert done.added == ("databases.tiny", "processes.tiny", "processes.tiny-worker", "processes.tiny-relay")
    content = tomllib.loads(done.text)
    assert content["databases"]["tiny"]["outbox"] == "chassis_outbox"
    assert "--beat" in content["processes"]["tiny-worker"]["command"]
    with entries.accepted(file, done):
        assert "tiny-worker" not in file.read_text()
    assert entries.complete(file, "tiny", tmp_path / "services/tiny", programs).added == ()


@pytest.mark.parametrize(
    "there", ["", '[secrets]  # made once\nTOKEN = "ed25519"\n', '[ secrets ]\nSECRET_KEY = "text-each"\n']
)
def test_secrets_that_the_service_reads_are_added_to_those_that_are_there(tmp_path: Path, there: str) -> None:
    file = tmp_path / "strangler.toml"
    file.write_text(f"{there}\n{TINY_FILE}")
    before = tomllib.loads(file.read_text()).get("secrets", {})
    programs = Programs("config", secrets=("SECRET_KEY", "IDENTITY_SECRET"))

    done = entries.complete(file, "tiny", tmp_path / "services/tiny", programs)

    assert "secrets" in done.added
    wanted = {"SECRET_KEY": {"kind": "text", "for": ["tiny"]}, "IDENTITY_SECRET": "text"}
    assert tomllib.loads(done.text)["secrets"] == {**wanted, **before}
    assert "# made once" in done.text or "# made once" not in there
    with entries.accepted(file, done):
        pass
    assert entries.complete(file, "tiny", tmp_path / "services/tiny", programs).added == ()
