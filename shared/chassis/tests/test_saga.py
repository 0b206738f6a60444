"""Sagas, step by step; see also test_saga_deadlines, test_saga_interleavings and test_saga_crashes."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from chassis.messages.events import Message
from chassis.models import OutboxMessage
from chassis.sagas import saga, turn
from chassis.sagas.saga import Command, Saga, SagaError, State, Step, UndecidedError, UnknownSagaError
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.utils import timezone
from library.desk import begin, hear, ids, in_thread, reply, sent, undoing_the_till
from library.lending import Lending, Reading, plan
from library.models import Deed, Loan
from library.pump import Pump

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.usefixtures("places"),
]


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
            futures = [pool.submit(in_thread, first), pool.submit(in_thread, second)]
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
        row = undoing_the_till()
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
