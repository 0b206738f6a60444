"""What becomes of a saga when a reply does not come in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from chassis.models import OutboxMessage
from chassis.ownership import owners
from chassis.sagas import saga
from chassis.sagas.saga import State, UnknownSagaError
from django.db import DatabaseError, OperationalError, connection, transaction
from django.utils import timezone
from library.desk import begin, hear, ids, in_thread, reply, sent, undoing_the_till
from library.lending import Lending, plan
from library.models import Loan
from library.pump import Pump

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.usefixtures("places"),
]


class TestDeadlines:
    def test_nothing_expires_before_its_deadline(self) -> None:
        begin()

        assert saga.expire() == 0

    def test_a_deadline_that_passes_undoes_the_step_in_doubt(self, pump: Pump) -> None:
        row = begin()

        assert pump.overrun() == 1

        row.refresh_from_db()
        assert (row.state, row.reason) == (State.FAILED, "stacks was not answered")
        assert sent() == [("stacks.do", "stacks"), ("stacks.undo", "stacks")]

    def test_a_step_with_tries_left_repeats_its_message(self, pump: Pump) -> None:
        row = begin()
        hear(reply(row, "stacks.done"))
        first = ids("till.do")
        OutboxMessage.objects.all().delete()

        pump.overrun()

        assert ids("till.do") == first
        row.refresh_from_db()
        assert (row.state, row.step, row.attempts) == (State.RUNNING, "till", 2)

    def test_a_message_that_has_not_left_yet_is_not_doubled(self, pump: Pump) -> None:
        row = begin()
        hear(reply(row, "stacks.done"))

        pump.overrun()

        assert len(ids("till.do")) == 1

    def test_a_keyed_step_with_tries_left_asks_in_a_new_message(self, pump: Pump) -> None:
        row = begin()
        hear(reply(row, "stacks.done"))
        hear(reply(row, "till.done"))

        pump.overrun()

        assert len(set(ids("printer.do"))) == 2

    def test_tries_come_to_an_end(self, pump: Pump) -> None:
        row = begin()
        hear(reply(row, "stacks.done"))
        pump.overrun()

        pump.overrun()

        row.refresh_from_db()
        assert (row.state, row.reason) == (State.COMPENSATING, "till was not answered")

    def test_an_undo_that_is_never_answered_ends_in_a_stuck_saga_which_its_answer_sets_free(self, pump: Pump) -> None:
        row = undoing_the_till()
        for _ in range(2):
            pump.overrun()
        row.refresh_from_db()
        assert (row.state, row.deadline) == (State.STUCK, None)
        assert "till was undone has not been answered" in row.error

        row = hear(reply(row, "till.undone"))

        assert (row.state, row.error) == (State.FAILED, "")

    def test_an_undo_that_cannot_be_made_leaves_a_stuck_saga_with_its_error_and_sends_nothing(self, pump: Pump) -> None:
        row = begin()
        plan.raising["stacks.undo"] = ValueError("no such shelf")

        pump.overrun()

        row.refresh_from_db()
        assert (row.state, row.error) == (State.STUCK, "ValueError: no such shelf")
        assert (row.deadline, row.reason) == (None, "stacks was not answered")
        assert sent() == [("stacks.do", "stacks")]
        assert Lending.deciding("loan-1")

    def test_what_was_to_happen_at_the_end_raises_and_leaves_a_stuck_saga(self, pump: Pump) -> None:
        begin()
        plan.raising["ended"] = DatabaseError("no such loan")

        pump.overrun()

        assert Loan.objects.get().state == State.STUCK

    def test_an_error_of_the_database_is_waited_out(self, pump: Pump) -> None:
        row = begin()
        plan.raising["stacks.undo"] = OperationalError("deadlock detected")

        pump.overrun()

        row.refresh_from_db()
        assert (row.state, row.error) == (State.RUNNING, "OperationalError: deadlock detected")
        assert row.deadline > timezone.now()

    def test_one_saga_that_fails_keeps_no_other_from_expiring(self, pump: Pump) -> None:
        begin()
        plan.raising["stacks.undo"] = ValueError("no such shelf")
        pump.overrun()
        plan.reset()
        begin("loan-2")

        assert pump.overrun() == 1

    def test_no_more_than_the_limit_expire_at_once(self) -> None:
        for number in range(3):
            begin(f"loan-{number}")
        Loan.objects.update(deadline=timezone.now())

        assert [saga.expire(limit=2), saga.expire(limit=2), saga.expire(limit=2)] == [2, 1, 0]

    def test_what_another_side_owns_is_left_alone(self, monkeypatch: pytest.MonkeyPatch, pump: Pump) -> None:
        begin()
        monkeypatch.setattr(owners, "is_open", lambda capability: capability != "desk")

        assert pump.overrun() == 0

    def test_a_kind_that_this_process_does_not_know_is_left_to_one_that_does(self, pump: Pump) -> None:
        begin()
        Loan.objects.update(kind="of tomorrow")

        assert pump.overrun() == 0
        with pytest.raises(UnknownSagaError):
            saga.push(Loan.objects.get().pk)

    def test_several_workers_expire_different_sagas(self) -> None:
        for number in range(20):
            begin(f"loan-{number}")
        Loan.objects.update(deadline=timezone.now())

        with ThreadPoolExecutor(4) as pool:
            counts = [future.result(20) for future in [pool.submit(in_thread, saga.expire) for _ in range(4)]]

        assert sum(counts) == 20
        assert len(ids("stacks.undo")) == 20
        assert plan.ended == [State.FAILED] * 20

    def test_a_saga_that_is_being_advanced_is_passed_over(self) -> None:
        row = begin()
        Loan.objects.update(deadline=timezone.now())

        with transaction.atomic():
            saga.on_reply(reply(row, "stacks.done"))
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(in_thread, saga.expire).result(10) == 0

        assert Loan.objects.get().step == "till"
