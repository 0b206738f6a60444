"""Running `strangler extract` again: what a person has changed stays, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path, PurePosixPath

import pytest
from halves import ROOT, TINY, Tiny
from strangler.domain.errors import RefusedError
from strangler.extract import rerun, staging, worklist
from strangler.extract.draft import Decision, Kind

VIEWS = TINY["tiny/views.py"]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A project whose service was written once."""
    tiny = Tiny(tmp_path_factory.mktemp("tiny"))
    done = tiny.extract()
    assert done.returncode == 0, done.stderr
    return tiny


@pytest.fixture
def tiny(first: Tiny, tmp_path: Path) -> Tiny:
    """A copy of it, for a test to change."""
    shutil.copytree(first.folder, tmp_path / "tiny", dirs_exist_ok=True)
    copied = object.__new__(Tiny)
    copied.folder = tmp_path / "tiny"
    copied.target = copied.folder / "services" / "tiny"
    copied.file = copied.folder / "strangler.toml"
    return copied


def test_running_again_changes_nothing(tiny: Tiny) -> None:
    before, file = tiny.files(), tiny.file.read_text()

    done = tiny.extract()

    assert done.returncode == 0, done.stderr
    assert tiny.files() == before
    assert tiny.file.read_text() == file


def test_a_file_with_carriage_returns_is_not_taken_for_changed(tiny: Tiny) -> None:
    (tiny.folder / "project/tiny/views.py").write_bytes(VIEWS.replace("\n", "\r\n").encode())
    assert tiny.extract().returncode == 0

    done = tiny.extract("--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] == []
    assert b"\r\n" in (tiny.target / "tiny/views.py").read_bytes()


def test_each_side_s_change_is_there_and_where_both_changed_one_file_nothing_is_lost(tiny: Tiny) -> None:
    mine = f"{tiny.text('site_/urls.py')}# mine\n"
    (tiny.target / "site_/urls.py").write_text(mine)
    both = f"{tiny.text('tiny/views.py')}# mine\n"
    (tiny.target / "tiny/views.py").write_text(both)
    (tiny.target / "tiny/more.py").write_text("# wholly mine\n")
    (tiny.target / "Dockerfile").unlink()
    tiny.project("tiny/views.py", f"{VIEWS}# theirs\n")
    tiny.project("tiny/models.py", f"{TINY['tiny/models.py']}    size = models.IntegerField(null=True)\n")

    done = tiny.extract("--json")

    told = json.loads(done.stdout)
    assert tiny.text("site_/urls.py") == mine
    assert tiny.text("tiny/views.py") == both
    assert "# theirs" in tiny.text("tiny/views.py.new")
    assert tiny.text("tiny/more.py") == "# wholly mine\n"
    assert not (tiny.target / "Dockerfile").exists()
    assert "size = models" in tiny.text("tiny/models.py")
    # Migrations that were made before stay, for they may have been run.
    migrations = sorted(path.name for path in (tiny.target / "tiny/migrations").glob("0*.py"))
    assert migrations[0] == "0001_initial.py"
    assert len(migrations) == 2
    assert sorted(told["kept"]) == ["Dockerfile", "site_/urls.py", "tiny/views.py"]
    (conflict,) = [one for one in told["decisions"] if "was changed by you" in one["says"]]
    assert (conflict["target"], conflict["open"]) == ("tiny/views.py", True)

    again = json.loads(tiny.extract("--json").stdout)
    assert tiny.text("tiny/views.py") == both
    assert [one["target"] for one in again["decisions"] if "was changed by you" in one["says"]] == ["tiny/views.py"]
    (tiny.target / "tiny/views.py.new").unlink()
    last = json.loads(tiny.extract("--json").stdout)
    assert not [one for one in last["decisions"] if "was changed by you" in one["says"]]


def test_what_was_ticked_off_stays_so_and_notes_stay(tiny: Tiny) -> None:
    tiny.project("tiny/tests.py", "")
    page = tiny.text(worklist.PAGE)
    decided = page.replace("- [ ] ", "- [x] ") + "\nAsk Ada about the limit.\n"
    (tiny.target / worklist.PAGE).write_text(decided)

    done = tiny.extract("--json")

    assert done.returncode == 0, done.stderr
    assert "- [ ]" not in tiny.text(worklist.PAGE)
    assert tiny.text(worklist.PAGE).endswith("## Notes\n\nAsk Ada about the limit.\n")
    told = json.loads(done.stdout)
    assert told["left"] == {}
    assert told["ready"] is True


def test_every_kind_of_decision_has_a_place_in_the_list() -> None:
    schema = json.loads((ROOT / "docs/reference/json.schema.json").read_text())

    assert list(worklist.TITLES) == list(Kind)
    assert schema["$defs"]["decision"]["properties"]["kind"]["enum"] == [kind.value for kind in Kind]


def test_a_decision_keeps_its_name_where_lines_have_moved() -> None:
    one = Decision("a/b.py:7", Kind.QUERY, "it asks", "ask otherwise")
    moved = Decision("a/b.py:9", Kind.QUERY, "it asks", "ask otherwise")
    twice = worklist.entries([one, moved])

    assert worklist.entries([one])[0].id == worklist.entries([moved])[0].id
    assert twice[0].id != twice[1].id
    page = worklist.as_page(worklist.WorkList("x", twice, worklist.Measures(1, 0, 0, 0), "keys"))
    assert worklist.ticked(page) == set()
    assert worklist.ticked(page.replace("- [ ]", "- [x]", 1)) == {twice[0].id}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"mine.txt": "x"}, "is not empty"),
        ({rerun.RECORD: "{"}, "cannot be read"),
        ({rerun.RECORD: "[]"}, "cannot be read"),
        ({rerun.RECORD: '{"form": 1, "capability": "x"}'}, "cannot be read"),
        (
            {rerun.RECORD: '{"form": 1, "written_by": "", "capability": "x", "relations": "keys", "files": {}}'},
            "was written for x",
        ),
        (
            {rerun.RECORD: '{"form": 9, "written_by": "", "capability": "tiny", "relations": "keys", "files": {}}'},
            "another version",
        ),
    ],
)
def test_a_target_that_holds_something_else_is_refused(tmp_path: Path, content: dict[str, str], says: str) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(RefusedError, match=says):
        rerun.read(tmp_path, "tiny")


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")

    with pytest.raises(RefusedError, match="is not empty"):
        rerun.read(tmp_path / "x", "tiny")


def test_no_path_leads_out_of_the_service(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        staging.write(tmp_path, {PurePosixPath("../out.py"): ""})
    with pytest.raises(RefusedError):
        staging.copy(tmp_path, {PurePosixPath("/out.py"): tmp_path})


def test_a_run_that_was_killed_between_two_renames_has_lost_nothing(tmp_path: Path) -> None:
    target, dead = tmp_path / "tiny", tmp_path / ".tiny.extract-999999999"
    before = tmp_path / ".tiny.before-extract"
    for folder in (before, dead):
        folder.mkdir()
        (folder / "mine.py").write_text(folder.name)

    staging.recover(target)

    assert (target / "mine.py").read_text() == ".tiny.before-extract"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["tiny"]


def test_whoever_runs_it_again_after_that_keeps_what_a_person_had_changed(tiny: Tiny) -> None:
    mine = f"{tiny.text('site_/urls.py')}# mine\n"
    (tiny.target / "site_/urls.py").write_text(mine)
    tiny.target.rename(tiny.target.with_name(".tiny.before-extract"))

    done = tiny.extract()

    assert done.returncode == 0, done.stderr
    assert tiny.text("site_/urls.py") == mine
    assert tiny.beside() == []


def test_what_another_run_has_staged_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f".tiny.extract-{os.getpid()}"
    other.mkdir()

    staging.recover(tmp_path / "tiny")

    assert other.is_dir()


@pytest.mark.parametrize("moment", ["", "manage.py", "tiny/migrations", worklist.PAGE])
@pytest.mark.parametrize("again", [False, True], ids=["new", "again"])
def test_whoever_is_killed_leaves_the_target_as_it_was(
    moment: str, again: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tiny: Tiny = request.getfixturevalue("tiny") if again else Tiny(tmp_path / "new")
    tiny.project("tiny/views.py", f"{VIEWS}# theirs\n")
    if again:
        # What is waited for is there already in a copy of the target.
        shutil.rmtree(tiny.target / "tiny/migrations")
        (tiny.target / worklist.PAGE).unlink()
    before, file = tiny.files(), tiny.file.read_text()

    killed = _killed_when(tiny, moment)

    if killed and before and not tiny.target.exists():
        # Between its two renames, both are beside their place; the next run puts the old one back.
        assert tiny.target.with_name(".tiny.before-extract").is_dir()
    else:
        # Who is quick has done it all.
        assert tiny.files() == before or "# theirs" in tiny.text("tiny/views.py")
        assert tiny.target.exists() == bool(before) or not killed
    assert tiny.file.read_text() == file or killed is False
    done = tiny.extract()
    assert done.returncode == 0, done.stderr
    assert "# theirs" in tiny.text("tiny/views.py")
    assert tiny.beside() == []


def _killed_when(tiny: Tiny, moment: str) -> bool:
    """Starts a run, and kills it once it has staged so much; whether it was still running."""
    process = subprocess.Popen(
        tiny.command("tiny", "--to", "services/tiny"),
        cwd=tiny.folder,
        env=tiny.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    folder = tiny.target.with_name(f".tiny.extract-{process.pid}")
    while process.poll() is None and not (folder / moment).exists():
        time.sleep(0.001)
    was_running = process.poll() is None
    if was_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running
