"""What `make check` says of an app and its copy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.copies import drift
from tests.copies.drift import Meant

MONOLITH = "import a\nuser = Key(User)\n\n\ndef f():\n    return 1\n"
SERVICE = "import a\nuser_id = Number()\n\n\ndef f():\n    return 1\n"

EQUAL = "app/views.py"
SEAM = "app/models.py"


@pytest.fixture
def root(tmp_path) -> Path:
    """An app on both sides: a file that is equal, one with a seam, and tests that stand once."""
    for app, models in (("monolith/app", MONOLITH), ("services/app/app", SERVICE)):
        write(tmp_path / app / "views.py", "one\ntwo\nthree\n")
        write(tmp_path / app / "models.py", models)
        write(tmp_path / app / "tests" / f"test_{len(app)}.py", app)
    (tmp_path / "services/app/app/tests/both").mkdir()
    (tmp_path / "monolith/app/tests/both").symlink_to("../../../services/app/app/tests/both")
    return tmp_path


@pytest.fixture
def meant(root) -> Meant:
    """The seam, with its reason and recorded."""
    return Meant(in_lines={SEAM: "a number"}, record=drift.read(drift.written(root, [SEAM])))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_copies_of_this_repository_are_equal_but_for_their_seams():
    assert drift.copies_are_equal()


def test_seams_that_are_recorded_are_no_drift(root, meant):
    assert list(drift.problems(root, meant)) == []


@pytest.mark.parametrize("side", ["monolith/app", "services/app/app"])
@pytest.mark.parametrize(("file", "line"), [("views.py", "two"), ("models.py", "    return 1")])
def test_a_line_that_is_changed_in_one_copy_is_shown_with_both_files_and_what_to_do(root, meant, side, file, line):
    change(root / side / file, line, "changed")

    (problem,) = drift.problems(root, meant)

    assert f"monolith/app/{file} and services/app/app/{file}" in problem
    was, now = ("-changed", f"+{line}") if side.startswith("monolith") else (f"-{line}", "+changed")
    assert f"\n{was}\n{now}\n" in problem
    assert f"\n--- monolith/app/{file}\n+++ services/app/app/{file}\n" in problem
    assert problem.endswith(drift.COPY)


def test_the_seams_of_a_file_are_not_shown_with_its_drift(root, meant):
    change(root / "services/app/app/models.py", "return 1", "return 2")

    (problem,) = drift.problems(root, meant)

    assert "Key(User)" not in problem


def test_a_seam_that_is_changed_is_drift(root, meant):
    change(root / "services/app/app/models.py", "Number()", "Number(null=True)")

    (problem,) = drift.problems(root, meant)

    assert "\n-user = Key(User)\n+user_id = Number(null=True)\n" in problem


def test_a_change_of_both_copies_moves_no_seam(root, meant):
    for app in ("monolith/app", "services/app/app"):
        change(root / app / "models.py", "import a\n", "import a\nimport b\n\n")

    assert list(drift.problems(root, meant)) == []


def test_a_seam_that_is_recorded_without_a_reason_is_a_problem(root, meant):
    (problem,) = drift.problems(root, replace(meant, in_lines={}))

    assert "seams.py gives no reason" in problem


def test_a_seam_that_has_become_smaller_is_to_be_recorded_anew(root, meant):
    more = {SEAM: meant.record[SEAM] + Counter([(("x",), ("y",))])}

    (problem,) = drift.problems(root, replace(meant, record=more))

    assert "\n-x\n+y\n" in problem
    assert "make seams" in problem


def test_a_file_that_is_no_seam_any_more_is_to_be_taken_out(root, meant):
    (problem,) = drift.problems(root, replace(meant, throughout={EQUAL: "another way"}))

    assert "Take it out" in problem


@pytest.mark.parametrize("app", ["monolith/app", "services/app/app"])
def test_a_file_of_one_side_alone_is_drift_unless_it_is_named(root, meant, app):
    write(root / app / "migrations/0002_more.py", "")

    (problem,) = drift.problems(root, meant)

    assert "migrations/0002_more.py" in problem
    assert list(drift.problems(root, replace(meant, alone={"app/migrations/0002_more.py": "why"}))) == []


def test_a_file_that_differs_throughout_is_not_compared(root, meant):
    change(root / "monolith/app/views.py", "two", "changed")

    assert list(drift.problems(root, replace(meant, throughout={EQUAL: "another way"}))) == []


def test_tests_that_were_copied_are_a_problem(root, meant):
    link = root / "monolith/app/tests/both"
    link.unlink()
    write(link / "test_views.py", "")

    (problem,) = drift.problems(root, meant)

    assert "monolith/app/tests/both and services/app/app/tests/both" in problem


def test_an_app_whose_copy_was_deleted_is_compared_no_more(root, meant):
    (root / "monolith/app").rename(root / "gone")

    assert list(drift.problems(root, meant)) == []


def test_a_record_is_read_as_it_was_written(root):
    awkward = "@@\ndiff a/b\n--- x\n\n+\n"
    write(root / "monolith/app/views.py", f"one\n{awkward}three\n")

    record = drift.read(drift.written(root, [SEAM, EQUAL]))

    assert list(record) == [SEAM, EQUAL]
    assert record[EQUAL] == Counter([(("@@", "diff a/b", "--- x", "", "+"), ("two",))])
