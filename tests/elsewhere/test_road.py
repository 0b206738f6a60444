"""A project that looks like nothing of ours goes the whole road, by the commands that the page has, in its order."""

from __future__ import annotations

import json
import re
import subprocess

from tests.benchmarks.servers import tool
from tests.elsewhere.road import Road

MOST_LINES = 50  # that a person has to write beside what the commands have written
# Foreign keys to what does not move, and a view that names it: both are in the work list.
POINTING_OUT = r"REFERENCES public\.(?:books|branches|people)_|VIEW public\.loans_out"


def made(address: str) -> str:
    """The tables of loans as the server itself writes them down, without what points at tables that stay."""
    command = [tool("pg_dump"), "--schema-only", "--no-owner", "--table=loans_*", address]
    script = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    script = re.sub(r"^(?:--|SET |SELECT pg_catalog|\\).*$", "", script, flags=re.MULTILINE)
    found = re.split(r";\n", script)
    return "\n".join(sorted(" ".join(one.split()) for one in found if not re.search(POINTING_OUT, one)))


def test_from_nothing_the_service_makes_the_tables_that_the_monolith_has(laid: Road) -> None:
    stack = laid.stack
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


def test_little_is_written_by_hand(road: Road) -> None:
    work = json.loads((road.folder / "services/loans/extract.json").read_text())

    assert road.written <= MOST_LINES
    # The capability's own code and what it needs: the rest of the library did not come along.
    assert not (road.folder / "services/loans/books").exists()
    assert work["lines"]["taken"] < 500
    road.type("strangler init --check --app loans")


def test_a_service_that_extract_has_written_takes_over_under_the_drafted_traffic(road: Road) -> None:
    report = json.loads((road.folder / "report/report.json").read_text())

    assert report["ok"], (road.folder / "report/details.json").read_text()
    assert (report["failed"], report["lost"], report["doubled"]) == (0, 0, 0)
    assert report["owners"] == {"loans": "service"}
