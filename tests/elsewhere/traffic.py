"""Readers of the library, who log in by a form, borrow, extend and return."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Generator, Iterator
from itertools import count
from random import Random

from strangler.domain.traffic import Answer, Behaviour, Operation, Unexpected, insert, update

PIN = "2580-at-the-desk"
READERS = 400
COPIES = 3000  # those behind are out from the beginning
COPIES_PER_CLIENT = 3
LOAN_DAYS, EXTENSION_DAYS = 28, 14

Cookies = dict[str, str]
Talk = Generator[Operation, Answer, Cookies]


class Readers:
    """Each client is one reader, with copies of his own."""

    def __init__(self, run: str) -> None:
        self.run = run

    def client(self, number: int, rng: Random) -> Behaviour:
        cookies = yield from self._arrive(number)
        for title in range(rng.randint(1, 3)):
            yield Operation("GET", f"/en/books/{numbered('title', title)}/")
        for copy, note in self._copies(number, COPIES_PER_CLIENT):
            loan = yield from self._borrow(cookies, copy, note)
            yield Operation("GET", f"/fr/desk/{loan}/slip.txt")
            if rng.random() < 0.5:
                yield from self._extend(cookies, loan, note)
            yield from self._bring_back(cookies, loan, note)
        yield Operation("GET", "/notices/unread.json", headers=headers(cookies))

    def writer(self, capability: str, number: int, rng: Random) -> Behaviour:
        cookies = yield from self._arrive(number)
        for copy, note in self._copies(number):
            loan = yield from self._borrow(cookies, copy, note)
            yield from self._bring_back(cookies, loan, note)

    def _copies(self, number: int, most: int | None = None) -> Iterator[tuple[str, str]]:
        first = number * COPIES_PER_CLIENT
        for turn in count() if most is None else range(most):
            yield numbered("copy", (first + turn % COPIES_PER_CLIENT) % COPIES), f"{self.run}-{number}.{turn}"

    def _arrive(self, number: int) -> Talk:
        page = yield Operation("GET", "/en/login/")
        token = page.cookies["csrftoken"]
        form = {"username": f"R{number % READERS}", "password": PIN, "csrfmiddlewaretoken": token}
        answer = yield Operation(
            "POST", "/en/login/", form=form, headers={"Cookie": f"csrftoken={token}"}, expected={302}
        )
        return {"csrftoken": token, **answer.cookies}

    def _borrow(self, cookies: Cookies, copy: str, note: str) -> Generator[Operation, Answer, str]:
        due = datetime.date.today() + datetime.timedelta(days=LOAN_DAYS)
        made = insert("loans", "loans_loan", {"note": note}, {"copy_id": copy, "due_on": due.isoformat()})
        yield Operation(
            "POST", "/en/desk/borrow/", form={"copy": copy, "days": "", "note": note}, headers=headers(cookies),
            expected={302}, writes=(made,),
        )  # fmt: skip
        page = yield Operation("GET", "/en/desk/", headers=headers(cookies))
        return loan_of(page.body.decode(), note)

    def _extend(self, cookies: Cookies, loan: str, note: str) -> Behaviour:
        due = datetime.date.today() + datetime.timedelta(days=LOAN_DAYS + EXTENSION_DAYS)
        yield Operation(
            "POST", f"/en/desk/{loan}/extend/", form={"x": ""}, headers=headers(cookies),
            writes=(update("loans", "loans_loan", {"note": note}, {"due_on": due.isoformat()}),),
        )  # fmt: skip

    def _bring_back(self, cookies: Cookies, loan: str, note: str) -> Behaviour:
        yield Operation(
            "POST", f"/en/desk/{loan}/back/", form={"remark": note, "reasons": "late"}, headers=headers(cookies),
            expected={302}, writes=(insert("loans", "loans_remark", {"text": note}, {"object_id": loan}),),
        )  # fmt: skip


def numbered(kind: str, number: int) -> str:
    """The key that the library's own `manage.py fill` gives."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}-{number}"))


def headers(cookies: Cookies) -> dict[str, str]:
    """Those of a browser that has the cookies."""
    return {
        "Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items()),
        "X-CSRFToken": cookies["csrftoken"],
    }


def loan_of(page: str, note: str) -> str:
    """The key of the loan with this note.

    Raises:
        Unexpected: the page does not have it.
    """
    line = next((line for line in page.splitlines() if f'data-note="{note}"' in line), None)
    if line is None:
        raise Unexpected(f"the loan {note} is not among mine")
    return line.partition('id="')[2].partition('"')[0]
