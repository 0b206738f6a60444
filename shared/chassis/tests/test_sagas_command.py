"""``manage.py sagas``."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from chassis.models import OutboxMessage
from chassis.sagas.saga import State
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from library.lending import Lending, Reading
from library.models import Loan

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.usefixtures("places"),
]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: Any) -> str:
        call_command("sagas", *(str(argument) for argument in arguments))
        return capsys.readouterr().out

    return command


@pytest.fixture
def loan() -> Loan:
    return Lending.begin(key="loan-1", data={"title": "Emma"})


def keys(output: str) -> list[str]:
    return [row["key"] for row in json.loads(output)]


def test_the_undecided_are_listed_oldest_first(run: Any, loan: Loan) -> None:
    Lending.begin(key="loan-2", data={"title": "Emma"})
    Lending.begin(key="loan-3", data={"title": "Emma"})
    Loan.objects.filter(key="loan-2").update(state=State.DONE)

    assert keys(run("list", "--json")) == ["loan-1", "loan-3"]
    assert keys(run("list", "--json", "--all")) == ["loan-1", "loan-2", "loan-3"]
    assert keys(run("list", "--json", "--limit", 1)) == ["loan-1"]


def test_a_list_is_a_line_each(run: Any, loan: Loan) -> None:
    line = run("list")

    assert line.split()[:5] == [str(loan.pk), "lending", "loan-1", "running", "stacks"]


def test_only_the_stuck_only_the_overdue_and_only_of_one_kind_or_key(run: Any, loan: Loan) -> None:
    Reading.begin(key="loan-2", data={})
    Loan.objects.filter(key="loan-1").update(state=State.STUCK, deadline=None)
    Loan.objects.filter(key="loan-2").update(deadline=timezone.now())

    assert keys(run("list", "--json", "--stuck")) == ["loan-1"]
    assert keys(run("list", "--json", "--overdue")) == ["loan-2"]
    assert keys(run("list", "--json", "--kind", "reading")) == ["loan-2"]
    assert keys(run("list", "--json", "--key", "loan-1")) == ["loan-1"]


def test_one_is_shown_with_its_trail_and_its_data(run: Any, loan: Loan) -> None:
    assert json.loads(run("show", loan.pk, "--json"))["trail"] == [{"step": "stacks", "state": "sent", "asked": 0}]
    assert '{"title": "Emma"}' in run("show", loan.pk)


@pytest.mark.parametrize("verb", ["show", "push"])
def test_one_that_is_not_here_is_refused(run: Any, loan: Loan, verb: str) -> None:
    with pytest.raises(CommandError, match="there is no saga"):
        run(verb, uuid4())
    with pytest.raises(CommandError, match="is no saga's id"):
        run(verb, "loan-1")


def test_a_push_asks_again(run: Any, loan: Loan) -> None:
    output = run("push", loan.pk, "--yes")

    assert OutboxMessage.objects.count() == 2
    assert "was running at stacks, is running at stacks" in output


def test_a_dry_run_says_what_would_become_of_it_and_sends_nothing(run: Any, loan: Loan) -> None:
    outcome = json.loads(run("push", loan.pk, "--compensate", "--dry-run", "--json"))

    assert (outcome["dry_run"], outcome["state"]) == (True, "failed")
    assert OutboxMessage.objects.count() == 1
    loan.refresh_from_db()
    assert loan.state == State.RUNNING


def test_a_push_asks_before_it_acts(run: Any, loan: Loan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "n")

    with pytest.raises(CommandError, match="nothing was done"):
        run("push", loan.pk, "--compensate")

    assert asked == ["give up and undo lending loan-1, which is running? [y/N] "]
    assert OutboxMessage.objects.count() == 1


def test_a_push_that_is_agreed_to_gives_up(run: Any, loan: Loan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda text: "y")

    run("push", loan.pk, "--compensate")

    loan.refresh_from_db()
    assert loan.state == State.FAILED


def test_one_that_has_ended_is_not_pushed(run: Any, loan: Loan) -> None:
    Loan.objects.update(state=State.DONE)

    with pytest.raises(CommandError, match="has ended: it is done"):
        run("push", loan.pk, "--yes")
