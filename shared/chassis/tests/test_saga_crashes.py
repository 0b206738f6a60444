"""A process that dies at each commit of a saga, just before it and just after it, on real transactions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from chassis.models import OutboxMessage
from django.db import connection, transaction
from library.lending import Lending, plan
from library.models import Deed, Inbox, Loan
from library.pump import Pump

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.usefixtures("places"),
]


class Death(BaseException):
    """Nothing catches it."""


class Commits:
    """Counts the commits of this process, and ends it at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed, self.fatal, self.survives = 0, 0, False
        commit = connection._commit

        def counted() -> None:
            self.passed += 1
            if self.passed == self.fatal and not self.survives:
                connection.close()
                raise Death
            commit()
            if self.passed == self.fatal:
                raise Death

        monkeypatch.setattr(connection, "_commit", counted)

    def plan(self, fatal: int = 0, *, survives: bool = False) -> None:
        """The process dies at that commit; ``survives`` says that the commit itself takes place."""
        self.passed, self.fatal, self.survives = 0, fatal, survives


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    return Commits(monkeypatch)


def answered() -> None:
    """Every message is answered in time."""
    begin()
    Pump().drain()


def late() -> None:
    """The till says nothing for so long that the desk gives up; then everything comes."""
    begin()
    pump = Pump()
    while Loan.objects.filter(step="stacks", reason="").exists():
        pump.deliver(pump.heads()[0].id)
        pump.acknowledge(pump.heads()[0].id)
    while Loan.objects.filter(reason="").exists():
        pump.overrun()
    pump.drain()


def begin() -> None:
    """As a request would that its client sends again."""
    with transaction.atomic():
        if not Loan.objects.filter(key="loan-1").exists():
            Lending.begin(key="loan-1", data={"title": "Emma"})


@pytest.mark.parametrize("survives", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("story", "refusing", "outcome"),
    [
        (answered, (), "done"),
        (answered, ("stacks",), "failed"),
        (answered, ("till",), "failed"),
        (answered, ("printer",), "failed"),
        (late, (), "failed"),
    ],
    ids=["done", "stacks-refuse", "till-refuses", "printer-refuses", "late"],
)
def test_a_saga_survives_a_death_at_each_of_its_commits(
    commits: Commits, story: Callable[[], None], refusing: tuple[str, ...], outcome: str, survives: bool
) -> None:
    plan.reset(refusing)
    commits.plan()
    story()
    count = commits.passed
    assert_settled(outcome)
    assert count > 3

    for number in range(1, count + 1):
        clear()
        commits.plan(number, survives=survives)
        with pytest.raises(Death):
            story()
        connection.close()
        commits.plan()
        story()  # by a new process, which finds what is in the database
        assert_settled(outcome)


def clear() -> None:
    for model in (Loan, Deed, Inbox, OutboxMessage):
        model.objects.all().delete()


def assert_settled(outcome: str) -> None:
    row = Loan.objects.get()
    assert row.state == outcome
    assert Deed.objects.get(place="desk").done == 1
    for deed in Deed.objects.filter(place__in=["stacks", "till"]):
        assert deed.done <= 1
        assert deed.done - deed.undone == (1 if outcome == "done" else 0), deed
