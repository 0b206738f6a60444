"""A project that looks like nothing of ours goes the whole road: `init`, `extract`, a rehearsed move, `complete`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.elsewhere import by_hand
from tests.stack import STRANGLER, Stack

HERE = Path(__file__).resolve().parent
MOST_LINES = 50  # that a person has to write beside what `init` and `extract` have written
MOVES = """\
start loans
verify loans
switch loans
traffic 100
reverse loans
traffic 50
switch loans
traffic 50
complete loans
"""
RENUMBERED = """
CREATE TEMPORARY TABLE renumbered ON COMMIT DROP AS
SELECT here.id AS old, coalesce(wanted.id, row_number() OVER (ORDER BY here.id) + greatest(
           (SELECT max(id) FROM wanted), (SELECT max(id) FROM django_content_type))) AS new
FROM django_content_type here LEFT JOIN wanted USING (app_label, model);
SET CONSTRAINTS ALL DEFERRED;
UPDATE auth_permission SET content_type_id = new FROM renumbered WHERE content_type_id = old;
UPDATE django_content_type SET id = -id;
UPDATE django_content_type SET id = new FROM renumbered WHERE id = -old;
INSERT INTO django_content_type (id, app_label, model)
SELECT id, app_label, model FROM wanted WHERE id NOT IN (SELECT id FROM django_content_type);
SELECT setval(pg_get_serial_sequence('django_content_type', 'id'), max(id)) FROM django_content_type;
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in a folder of its own, with what its readers do."""
    folder = tmp_path_factory.mktemp("elsewhere") / "library"
    shutil.copytree(HERE / "library", folder, ignore=shutil.ignore_patterns("__pycache__", "var"))
    shutil.copy(HERE / "traffic.py", folder)
    return folder


def typed(folder: Path, *words: str, code: int = 0) -> str:
    """What the tool prints there."""
    done = subprocess.run([STRANGLER, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def written(library: Path) -> int:
    """All that is written before the stack is up; the number of lines by hand."""
    typed(library, "init", "--app", "loans", "--python", sys.executable)
    lines = by_hand.write(library, by_hand.MONOLITH)
    typed(library, "extract", "loans", "--to", "services/loans", "--python", sys.executable)
    service = library / "services/loans"
    lines += by_hand.write(service, by_hand.SERVICE)
    first = service / "loans/migrations/0001_initial.py"
    made = re.search(
        r"        migrations\.CreateModel\(\n +name='Passage',.*?\n        \),\n", first.read_text(), re.DOTALL
    )
    assert made
    first.write_text(first.read_text().replace(made[0], ""))
    shutil.copy(library / by_hand.PARTITIONED, service / by_hand.PARTITIONED)
    return lines + 1


@pytest.fixture(scope="module")
def stack(library: Path, written: int) -> Iterator[Stack]:
    with Stack(library / "var", library / "strangler.toml").running() as made:
        yield made


def renumber(stack: Stack) -> None:
    """Gives the content types of the service the monolith's numbers (docs: numbers-differ)."""
    databases = stack.environment()["databases"]
    with psycopg.connect(databases["monolith"]) as monolith, psycopg.connect(databases["loans"]) as service:
        wanted = monolith.execute("SELECT id, app_label, model FROM django_content_type").fetchall()
        service.execute("CREATE TEMPORARY TABLE wanted (id int, app_label text, model text) ON COMMIT DROP")
        with service.cursor() as cursor:
            cursor.executemany("INSERT INTO wanted VALUES (%s, %s, %s)", wanted)
        service.execute(RENUMBERED)


def test_little_is_written_by_hand(library: Path, written: int) -> None:
    work = json.loads((library / "services/loans/extract.json").read_text())

    assert written <= MOST_LINES
    # The capability's own code and what it needs: the rest of the library did not come along.
    assert not (library / "services/loans/books").exists()
    assert work["lines"]["taken"] < 500
    assert "file-behind" not in typed(library, "init", "--check", "--app", "loans")


def test_a_service_that_extract_has_written_takes_over_under_traffic(stack: Stack, library: Path) -> None:
    (library / "moves.txt").write_text(MOVES)
    renumber(stack)
    assert stack.json("preflight", "loans")["ready"]

    words = ["--requests", "400", "--writes", "100", "--clients", "8", "--script", str(library / "moves.txt")]
    done = stack.run("rehearse", *words, "--report", str(library / "report/report.json"), "--json", seconds=300)

    report = json.loads(done.stdout)
    assert report["ok"], (library / "report/details.json").read_text()
    assert (report["failed"], report["lost"], report["doubled"]) == (0, 0, 0)
    assert report["owners"] == {"loans": "service"}
