"""Lending a book: the stacks set a copy aside, the till takes a deposit, the printer prints a slip.

The desk decides. What the places answer is for the test to say: `plan.refusing` are those that refuse. A place that is
`plan.forgetful` does what it is asked also after it was told to undo it, as one without a memory of undos would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from chassis.messages import events
from chassis.messages.events import Message
from chassis.messages.inbox import handles
from chassis.sagas import saga
from chassis.sagas.saga import Command, End, Saga, Step

from library.models import Deed, Loan

PLACES = ("stacks", "till", "printer")
INBOXES = dict.fromkeys(("desk", *PLACES), "library.Inbox")


@dataclass
class Plan:
    """How the places and the desk behave in a test."""

    refusing: frozenset[str] = frozenset()
    forgetful: bool = False
    raising: dict[str, Exception] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    def reset(self, refusing: Iterable[str] = (), *, forgetful: bool = False) -> None:
        self.refusing, self.forgetful = frozenset(refusing), forgetful
        self.raising, self.ended = {}, []

    def meet(self, moment: str) -> None:
        """Raises what the test has planned for this moment."""
        if moment in self.raising:
            raise self.raising[moment]


plan = Plan()


def ask(place: str) -> Callable[[Loan], Command]:
    def command(row: Loan) -> Command:
        plan.meet(f"{place}.do")
        return Command(to=place, type=f"{place}.do", key=row.key, data={"title": row.data["title"]})

    return command


def take_back(place: str) -> Callable[[Loan], Command]:
    def command(row: Loan) -> Command:
        plan.meet(f"{place}.undo")
        return Command(to=place, type=f"{place}.undo", key=row.key, data={})

    return command


def go_on(row: Loan, message: Message) -> None:
    plan.meet(message.type)
    row.data["heard"] = [*row.data.get("heard", []), message.type]


def give_up(row: Loan, message: Message) -> End:
    return saga.fail(f"the {message.capability} refused")


def step(place: str, **more: Any) -> Step:
    replies = {f"{place}.done": go_on, f"{place}.refused": give_up}
    return Step(place, send=ask(place), replies=replies, refusals=(f"{place}.refused",), **more)


class Lending(Saga):
    kind = "lending"
    model = "library.Loan"
    capability = "desk"
    steps = (
        step("stacks", undo=take_back("stacks"), within=timedelta(seconds=10)),
        step("till", undo=take_back("till"), undone="till.undone", tries=2),
        step("printer", tries=2, keyed=True),
    )

    @classmethod
    def ended(cls, row: Loan) -> None:
        plan.meet("ended")
        plan.ended.append(row.state)
        deed, _ = Deed.objects.get_or_create(place="desk", key=row.key)
        deed.state, deed.done = row.state, deed.done + 1
        deed.save()


class Reading(Saga):
    """In the reading room: the reader brings the slip himself, and who has a card pays nothing."""

    kind = "reading"
    model = "library.Loan"
    capability = "desk"

    @staticmethod
    def shown(row: Loan, message: Message) -> str | End | None:
        answers = {"a card": saga.finish(), "nothing": saga.fail(""), "cash": "pay", "a ghost": "nowhere"}
        return answers.get(message.data["what"], "show")

    steps = (
        Step("show", replies={"reader.shown": shown}),
        Step("skipped", replies={"reader.skipped": go_on}),
        Step("pay", replies={"reader.paid": go_on}),
    )


def _do(place: str) -> Callable[[Message], None]:
    def do(message: Message) -> None:
        deed, _ = Deed.objects.get_or_create(place=place, key=message.subject)
        may = deed.state == "" or (deed.state == "undone" and plan.forgetful)
        if deed.state != "done" and place not in plan.refusing and may:
            deed.state, deed.done = "done", deed.done + 1
            deed.save()
        answer = "done" if deed.state == "done" else "refused"
        events.reply(to_message=message, type=f"{place}.{answer}", data={}, capability=place)

    return do


def _undo(place: str) -> Callable[[Message], None]:
    def undo(message: Message) -> None:
        deed, _ = Deed.objects.get_or_create(place=place, key=message.subject)
        deed.undone += deed.state == "done"
        deed.state = "undone"
        deed.save()
        if place == "till":
            events.reply(to_message=message, type="till.undone", data={}, capability=place)

    return undo


for _place in PLACES:
    handles(f"{_place}.do", capability=_place)(_do(_place))
    handles(f"{_place}.undo", capability=_place)(_undo(_place))
for _type in Lending.reply_types() + Reading.reply_types():
    handles(_type, capability="desk")(saga.on_reply)
