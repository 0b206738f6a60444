"""A project that looks like nothing of ours goes the whole road: `init`, `extract`, a rehearsed move, `complete`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.servers import tool
from tests.elsewhere import by_hand, numbers
from tests.stack import STRANGLER, Stack

HERE = Path(__file__).resolve().parent
MOST_LINES = 50  # that a person has to write beside what `init` and `extract` have written
# Foreign keys to what does not move, and a view that names it: both are in the work list.
POINTING_OUT = r"REFERENCES public\.(?:books|branches|people)_|VIEW public\.loans_out"
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
    return lines + by_hand.write(library / "services/loans", by_hand.SERVICE)


@pytest.fixture(scope="module")
def stack(library: Path, written: int) -> Iterator[Stack]:
    with Stack(library / "var", library / "strangler.toml").running() as made:
        yield made


def test_little_is_written_by_hand(library: Path, written: int) -> None:
    work = json.loads((library / "services/loans/extract.json").read_text())

    assert written <= MOST_LINES
    # The capability's own code and what it needs: the rest of the library did not come along.
    assert not (library / "services/loans/books").exists()
    assert work["lines"]["taken"] < 500
    assert "file-behind" not in typed(library, "init", "--check", "--app", "loans")


def made(address: str) -> str:
    """The tables of loans as the server itself writes them down, without what points at tables that stay."""
    command = [tool("pg_dump"), "--schema-only", "--no-owner", "--table=loans_*", address]
    script = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    script = re.sub(r"^(?:--|SET |SELECT pg_catalog|\\).*$", "", script, flags=re.MULTILINE)
    found = re.split(r";\n", script)
    return "\n".join(sorted(" ".join(one.split()) for one in found if not re.search(POINTING_OUT, one)))


def test_from_nothing_the_service_makes_the_tables_that_the_monolith_has(stack: Stack) -> None:
    databases = stack.environment()["databases"]
    monolith, service = made(databases["monolith"]), made(databases["loans"])

    assert service == monolith
    for part in ("PARTITION BY LIST", "CREATE TRIGGER loans_trim", "COMMENT ON TABLE", "loans_by_slip", "DEFAULT ''"):
        assert part in service
    with stack.database("loans") as session, stack.database("monolith") as other:
        rows = "SELECT count(*) FROM loans_reason WHERE code IN ('lost', 'harmed')"
        assert session.execute(rows).fetchone() == (0,)  # a move brings them
        assert other.execute(rows).fetchone() == (2,)
        body = "SELECT prosrc FROM pg_proc WHERE proname = 'loans_trim'"
        assert session.execute(body).fetchone() == other.execute(body).fetchone()


def test_a_service_that_extract_has_written_takes_over_under_traffic(stack: Stack, library: Path) -> None:
    (library / "moves.txt").write_text(MOVES)
    databases = stack.environment()["databases"]
    numbers.type_page(library, databases["monolith"], databases["loans"])
    assert stack.json("preflight", "loans")["ready"]

    words = ["--requests", "400", "--writes", "100", "--clients", "8", "--script", str(library / "moves.txt")]
    done = stack.run("rehearse", *words, "--report", str(library / "report/report.json"), "--json", seconds=300)

    report = json.loads(done.stdout)
    assert report["ok"], (library / "report/details.json").read_text()
    assert (report["failed"], report["lost"], report["doubled"]) == (0, 0, 0)
    assert report["owners"] == {"loans": "service"}
