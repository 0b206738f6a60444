"""Every order in which the messages of a saga can be handled, handled twice, set aside and be late."""

from __future__ import annotations

import os

import pytest
from chassis.sagas import saga
from django.db import connection
from library.lending import Lending, plan
from library.models import Deed, Loan
from library.pump import Pump, Search

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.usefixtures("places"),
]

FAULTS = int(os.environ.get("SAGA_FAULTS", "2"))  # 3 and more take minutes


@pytest.mark.exhaustive
@pytest.mark.parametrize("forgetful", [False, True], ids=["mindful", "forgetful"])
@pytest.mark.parametrize("refusing", [(), ("stacks",), ("till",), ("printer",)], ids=lambda r: "-".join(r) or "none")
def test_a_saga_ends_and_undoes_exactly_what_was_done_whatever_happens(
    refusing: tuple[str, ...], forgetful: bool
) -> None:
    plan.reset(refusing, forgetful=forgetful)
    Lending.begin(key="loan-1", data={"title": "Emma"})
    search = Search(Pump(), FAULTS)

    search.run(lambda path: assert_settled(forgetful=forgetful))

    print(f"{len(search.seen)} states, {len(search.ends)} ends")
    assert search.ends


def assert_settled(*, forgetful: bool) -> None:
    """The saga ended, once; what was done stays in effect when it is done, and none of it when it failed."""
    row = Loan.objects.get()
    deeds = {deed.place: deed for deed in Deed.objects.all()}
    assert row.state in (saga.State.DONE, saga.State.FAILED)
    assert row.deadline is None
    assert (deeds["desk"].state, deeds["desk"].done) == (row.state, 1)
    for place in {"stacks", "till"} & deeds.keys():  # a slip that is printed stays printed
        deed = deeds[place]
        assert deed.done - deed.undone == (row.state == saga.State.DONE), deed
        # A place without a memory of undos may do it again when a message comes back from the dead; then it is late.
        assert deed.done <= 1 or forgetful, deed
    if row.reason.endswith(" refused"):
        place = row.reason.removeprefix("the ").removesuffix(" refused")
        assert deeds[place].state == "", "nothing was done, so nothing is undone"
