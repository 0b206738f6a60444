"""A project that looks like nothing of ours goes the whole road, by the commands that the page has, in its order."""

from __future__ import annotations

import json

from tests.elsewhere.road import Road

MOST_LINES = 50  # that a person has to write beside what the commands have written


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
