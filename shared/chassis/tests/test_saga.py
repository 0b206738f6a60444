"""Sagas, step by step; see also test_saga_interleavings and test_saga_crashes."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from chassis import ownership, saga, turn
from chassis.events import Message
from chassis.models import OutboxMessage
from chassis.saga import Command, Saga, SagaError, State, Step, UndecidedError, UnknownSagaError
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.utils import timezone
from library import lending
from library.lending import Lending, Reading, plan
from library.models import Deed, Loan
from library.pump import Pump

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]


@pytest.fixture(autouse=True)
def places(settings: Any) -> Iterator[None]:
    settings.CHASSIS_INBOXES = lending.INBOXES
    plan.reset()
    yield
    plan.reset()


@pytest.fixture
def pump() -> Pump:
    return Pump()


def begin(key: str = "loan-1", kind: type[Saga] = Lending) -> Loan:
    with transaction.atomic():
        return kind.begin(key=key, data={"title": "Emma"})


def reply(row: Loan, type: str, **data: Any) -> Message:
    """As a place would send it."""
    return Message(
        id=uuid4(),
        type=type,
        source="/x",
        subject=row.key,
        time=datetime.now(UTC),
        version=0,
        data=data,
        capability=type.split(".", maxsplit=1)[0],
        correlation=str(row.pk),
    )


def hear(message: Message) -> Loan:
    with transaction.atomic():
        return saga.on_reply(message)


def sent() -> list[tuple[str, str]]:
    """What waits to go out, oldest first."""
    return list(OutboxMessage.objects.order_by("id").values_list("type", "destination"))


def ids(type: str) -> list[UUID]:
    return list(OutboxMessage.objects.filter(type=type).order_by("id").values_list("message_id", flat=True))


def late(step: str, outcome: str) -> float:
    return turn.LATE.labels("lending", step, outcome)._value.get()


class TestSteps:
    def test_a_saga_sends_its_first_command_with_the_transaction_that_begins_it(self) -> None:
        row = begin()

        message = Message.decode(bytes(OutboxMessage.objects.get().body))
        assert (message.type, message.subject, message.data) == ("stacks.do", "loan-1", {"title": "Emma"})
        assert (message.capability, message.reply_to, message.correlation) == ("desk", "desk", str(row.pk))
        assert row.deadline - timezone.now() < timedelta(seconds=10)
        row.refresh_from_db()
        assert (row.state, row.step, row.attempts) == (State.RUNNING, "stacks", 1)

    def test_a_saga_that_is_rolled_back_with_its_cause_leaves_nothing(self) -> None:
        with transaction.atomic():
            Lending.begin(key="loan-1", data={"title": "Emma"})
            transaction.set_rollback(True)

        assert not Loan.objects.exists()
        assert sent() == []

    def test_a_saga_whose_places_all_agree_is_done(self, pump: Pump) -> None:
        row = begin()

        pump.drain()

        row.refresh_from_db()
        assert (row.state, row.deadline, row.reason) == (State.DONE, None, "")
        assert row.data == {"title": "Emma", "heard": ["stacks.done", "till.done", "printer.done"]}
        assert plan.ended == [State.DONE]

    def test_what_was_done_is_undone_last_step_first(self, pump: Pump) -> None:
        plan.reset(["printer"])
        row = begin()

        pump.drain()

        row.refresh_from_db()
        assert (row.state, row.reason) == (State.FAILED, "the printer refused")
        assert plan.ended == [State.FAILED]
        undone = Deed.objects.filter(state="undone").values_list("place", "done", "undone")
        assert sorted(undone) == [("stacks", 1, 1), ("till", 1, 1)]

    def test_an_undo_that_is_answered_is_waited_for_before_the_next(self) -> None:
        row = begin()
        for type in ("stacks.done", "till.done", "printer.refused"):
            hear(reply(row, type))

        assert sent()[-1] == ("till.undo", "till")
        row.refresh_from_db()
        assert (row.state, row.step) == (State.COMPENSATING, "till")
        hear(reply(row, "till.undone"))

        assert sent()[-1] == ("stacks.undo", "stacks")
        row.refresh_from_db()
        assert (row.state, row.deadline) == (State.FAILED, None)

    def test_a_step_that_refused_is_not_undone(self, pump: Pump) -> None:
        plan.reset(["till"])
        begin()

        pump.drain()

        assert not Deed.objects.filter(place="till", state="undone").exists()

    def test_a_handler_names_the_step_that_follows(self) -> None:
        row = begin(kind=Reading)

        assert hear(reply(row, "reader.shown", what="cash")).step == "pay"
        assert hear(reply(row, "reader.paid")).state == State.DONE

    def test_a_handler_finishes_the_saga(self) -> None:
        assert hear(reply(begin(kind=Reading), "reader.shown", what="a card")).state == State.DONE

    def test_a_handler_fails_the_saga_even_without_a_reason(self) -> None:
        row = hear(reply(begin(kind=Reading), "reader.shown", what="nothing"))

        assert (row.state, row.reason) == (State.FAILED, "failed")

    def test_a_step_that_only_waits_sends_nothing_and_has_a_deadline(self) -> None:
        row = begin(kind=Reading)

        assert sent() == []
        assert row.deadline is not None

    @pytest.mark.parametrize(
        ("what", "words"), [("a ghost", "has no step nowhere"), ("something else", "has been at show")]
    )
    def test_a_handler_that_names_no_step_or_an_earlier_one_is_refused_and_leaves_nothing(
        self, what: str, words: str
    ) -> None:
        row = begin(kind=Reading)

        with pytest.raises(SagaError, match=words):
            hear(reply(row, "reader.shown", what=what))

        row.refresh_from_db()
        assert row.trail == [{"step": "show", "state": "sent", "asked": 0}]

    def test_a_capability_answers_itself_with_the_command_that_it_handled(self) -> None:
        begin()
        command = Message.decode(bytes(OutboxMessage.objects.get().body))

        assert hear(dataclasses.replace(command, type="stacks.done", data={})).step == "till"


class TestRefusals:
    def test_nothing_begins_outside_a_transaction(self) -> None:
        with pytest.raises(RuntimeError, match=r"Saga\.begin"):
            Lending.begin(key="loan-2", data={"title": "Emma"})

    def test_no_reply_is_taken_outside_a_transaction(self) -> None:
        message = reply(begin(), "stacks.done")

        with pytest.raises(RuntimeError, match=r"saga\.on_reply"):
            saga.on_reply(message)

    @pytest.mark.parametrize("correlation", [str(uuid4()), "nobody", ""])
    def test_a_reply_to_a_saga_that_is_not_here_is_refused(self, correlation: str) -> None:
        message = dataclasses.replace(reply(begin(), "stacks.done"), correlation=correlation)

        with pytest.raises(UnknownSagaError):
            hear(message)

    @pytest.mark.parametrize("type", ["till.done", "reader.paid", "stacks.sneezed"])
    def test_a_reply_that_was_never_asked_for_is_refused(self, type: str) -> None:
        with pytest.raises(SagaError, match=f"has never asked for {type}"):
            hear(reply(begin(), type))

    def test_a_key_is_decided_by_one_saga_of_a_kind_at_a_time(self, pump: Pump) -> None:
        begin()

        with pytest.raises(UndecidedError), transaction.atomic():
            Lending.begin(key="loan-1", data={"title": "Persuasion"})
        assert begin(kind=Reading).kind == "reading"

        pump.drain()
        assert begin().kind == "lending"

    def test_of_two_that_begin_at_once_one_waits_and_is_refused(self) -> None:
        locked, go_on = threading.Event(), threading.Event()

        def first() -> None:
            with transaction.atomic():
                Lending.begin(key="loan-1", data={"title": "Emma"})
                locked.set()
                go_on.wait(10)

        def second() -> None:
            locked.wait(10)
            begin()

        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(_in_thread, first), pool.submit(_in_thread, second)]
            with pytest.raises(TimeoutError):
                futures[1].result(0.3)
            go_on.set()
            futures[0].result(10)
            with pytest.raises(UndecidedError):
                futures[1].result(10)
        assert Loan.objects.count() == 1

    @pytest.mark.parametrize(
        "steps",
        [
            (Step("one", replies={"a": print}), Step("one", replies={"b": print})),
            (Step("one", replies={"a": print}), Step("two", replies={"a": print})),
            (Step("one", replies={"a": print}, undone="a"),),
        ],
    )
    def test_a_definition_in_which_a_reply_has_two_meanings_is_refused(self, steps: tuple[Step, ...]) -> None:
        with pytest.raises(ImproperlyConfigured, match="there twice"):
            type("Unclear", (Saga,), {"kind": "unclear", "model": "library.Loan", "steps": steps})

    def test_a_kind_that_is_defined_twice_is_refused(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="lending is defined twice"):
            type("Other", (Saga,), {"kind": "lending", "model": "library.Loan", "steps": ()})


class TestLateReplies:
    def test_a_reply_to_a_step_that_is_done_is_counted_and_dropped(self) -> None:
        row = begin()
        hear(reply(row, "stacks.done"))
        before = late("stacks", "dropped"), sent()

        row = hear(reply(row, "stacks.done"))

        assert (late("stacks", "dropped"), sent()) == (before[0] + 1, before[1])
        assert row.step == "till"

    def test_what_a_late_reply_says_was_done_is_undone_once_more(self, pump: Pump) -> None:
        row = begin()
        pump.overrun()
        first, before = ids("stacks.undo"), late("stacks", "undone")
        assert len(first) == 1

        row = hear(reply(row, "stacks.done"))

        assert late("stacks", "undone") == before + 1
        assert len(set(ids("stacks.undo")) - set(first)) == 1  # another message, or the inbox would drop it
        assert row.state == State.FAILED

    def test_a_late_refusal_is_dropped(self, pump: Pump) -> None:
        row = begin()
        pump.overrun()
        before = sent()

        hear(reply(row, "stacks.refused"))

        assert sent() == before

    def test_a_step_that_refused_first_and_was_done_after_all_is_undone(self) -> None:
        row = begin()
        hear(reply(row, "stacks.refused"))

        row = hear(reply(row, "stacks.done"))

        assert sent()[-1] == ("stacks.undo", "stacks")
        assert row.state == State.FAILED


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
        row = _undoing_the_till()
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
        monkeypatch.setattr(ownership, "is_open", lambda capability: capability != "desk")

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
            counts = [future.result(20) for future in [pool.submit(_in_thread, saga.expire) for _ in range(4)]]

        assert sum(counts) == 20
        assert len(ids("stacks.undo")) == 20
        assert plan.ended == [State.FAILED] * 20

    def test_a_saga_that_is_being_advanced_is_passed_over(self) -> None:
        row = begin()
        Loan.objects.update(deadline=timezone.now())

        with transaction.atomic():
            saga.on_reply(reply(row, "stacks.done"))
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(_in_thread, saga.expire).result(10) == 0

        assert Loan.objects.get().step == "till"


class TestPushing:
    def test_a_push_asks_in_a_message_of_its_own(self) -> None:
        row = begin()

        row = saga.push(row.pk)

        assert len(set(ids("stacks.do"))) == 2
        assert (row.state, row.step, row.attempts) == (State.RUNNING, "stacks", 1)

    def test_a_push_gives_up_when_it_is_told_to(self) -> None:
        row = saga.push(begin().pk, compensate=True)

        assert (row.state, row.reason) == (State.FAILED, "given up by hand")
        assert sent()[-1] == ("stacks.undo", "stacks")

    def test_a_saga_that_was_undoing_goes_on_undoing(self, pump: Pump) -> None:
        row = begin()
        plan.raising["stacks.undo"] = ValueError("no such shelf")
        pump.overrun()
        plan.reset()

        row = saga.push(str(row.pk))

        assert (row.state, row.reason, row.error) == (State.FAILED, "stacks was not answered", "")

    def test_an_undo_that_was_not_answered_is_asked_anew(self, pump: Pump) -> None:
        row = _undoing_the_till()
        for _ in range(2):
            pump.overrun()

        row = saga.push(row.pk)

        assert len(set(ids("till.undo"))) == 2
        assert (row.state, row.step, row.attempts) == (State.COMPENSATING, "till", 1)

    def test_a_saga_that_has_ended_is_not_pushed(self, pump: Pump) -> None:
        row = begin()
        pump.drain()

        with pytest.raises(SagaError, match="has ended: it is done"):
            saga.push(row.pk)


class TestDeciding:
    def test_a_key_is_being_decided_until_its_saga_ends(self, pump: Pump) -> None:
        assert not Lending.deciding("loan-1")
        begin()
        assert Lending.deciding("loan-1")
        assert not Lending.deciding("loan-2")
        assert not Reading.deciding("loan-1")

        pump.drain()

        assert not Lending.deciding("loan-1")


def test_commands_of_a_step_have_ids_that_follow_from_saga_step_and_try() -> None:
    row = Loan(kind="lending", key="loan-1", data={"title": "Emma"}, pk=UUID(int=7))
    runs = []
    for _ in range(2):
        advance = turn.Turn(Lending, Loan(kind="lending", key="loan-1", data=dict(row.data), pk=row.pk))
        advance.enter("stacks")
        advance.compensate("no")
        runs.append(list(advance.commands))

    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2


def test_an_undo_with_nothing_to_undo_is_not_waited_for() -> None:
    class Empty(Saga):
        kind, model, capability = "empty", "library.Loan", "desk"
        steps = (
            Step(
                "one",
                send=lambda row: Command(to="stacks", type="stacks.do", key=row.key, data={}),
                replies={"empty.done": lambda row, message: None},
                undo=lambda row: None,
                undone="empty.undone",
            ),
        )

    row = begin(kind=Empty)

    assert saga.push(row.pk, compensate=True).state == State.FAILED
    del saga.registry["empty"]


def _undoing_the_till() -> Loan:
    row = begin()
    for type in ("stacks.done", "till.done", "printer.refused"):
        row = hear(reply(row, type))
    return row


def _in_thread(work: Any) -> Any:
    try:
        return work()
    finally:
        connections.close_all()
