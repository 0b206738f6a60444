"""How long an answer about a session or a token is used, and who waits for it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chassis.identity.lookups import MOST_KEPT, Lookups, UnavailableError
from chassis.process import waiting
from django.core.exceptions import ImproperlyConfigured
from library.waiting import until

KNOWN = b'{"user": {"id": 1}, "session": {}}'


class Owner:
    """Answers as the test plans it; waits until it may, where it is to wait."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: bytes | Exception = KNOWN
        self.seconds = 3600.0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, kind: str, key: str) -> tuple[bytes, float]:
        self.asked.append((kind, key))
        assert self.may_answer.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer, self.seconds


@pytest.fixture
def owner() -> Owner:
    return Owner()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(owner: Owner, clock: Any, settings: Any) -> Lookups:
    """Answers are used for five seconds."""
    settings.CHASSIS_IDENTITY_SECONDS = 5
    return Lookups(owner, clock)


class TestAnswers:
    def test_an_answer_is_used_until_its_seconds_are_over(self, kept: Lookups, owner: Owner, clock: Clock) -> None:
        kept.find("session", "a")
        clock.now += 4.9
        kept.find("session", "a")
        assert len(owner.asked) == 1
        clock.now += 0.1
        kept.find("session", "a")
        assert len(owner.asked) == 2

    def test_its_age_is_that_of_its_question(self, kept: Lookups, owner: Owner, clock: Clock) -> None:
        """What was committed at the owner while the answer was on its way may not be in it."""
        owner.may_answer.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(kept.find, "session", "a")
            until(lambda: owner.asked)
            clock.now += 5
            owner.may_answer.set()
            first.result(30)
        kept.find("session", "a")

        assert len(owner.asked) == 2

    def test_the_owner_may_allow_less(self, kept: Lookups, owner: Owner, clock: Clock) -> None:
        owner.seconds = 1
        kept.find("session", "a")
        clock.now += 1
        kept.find("session", "a")

        assert len(owner.asked) == 2

    def test_with_no_seconds_each_asks_for_himself(self, kept: Lookups, owner: Owner, settings: Any) -> None:
        settings.CHASSIS_IDENTITY_SECONDS = 0
        owner.may_answer.clear()
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(kept.find, "session", "a") for _ in range(2)]
            until(lambda: len(owner.asked) == 2)
            owner.may_answer.set()
            assert [each.result(30) for each in asked] == [KNOWN, KNOWN]
        assert not kept._flights

    def test_who_comes_together_asks_once(self, kept: Lookups, owner: Owner) -> None:
        owner.may_answer.clear()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(kept.find, "session", "a") for _ in range(8)]
            until(lambda: waiting.process.count("peers") == 8)
            owner.may_answer.set()
            assert {each.result(30) for each in asked} == {KNOWN}
        assert len(owner.asked) == 1

    def test_who_waits_for_an_answer_that_does_not_come_is_told_so(self, kept: Lookups, owner: Owner) -> None:
        owner.answer = UnavailableError("away")
        owner.may_answer.clear()
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(kept.find, "session", "a") for _ in range(4)]
            until(lambda: waiting.process.count("peers") == 4)
            owner.may_answer.set()
            for each in asked:
                with pytest.raises(UnavailableError, match="away"):
                    each.result(30)
        owner.answer = KNOWN

        assert kept.find("session", "a") == KNOWN
        assert waiting.process.count("peers") == 0

    def test_a_fault_of_the_project_is_one_and_holds_nobody_up(self, kept: Lookups, owner: Owner) -> None:
        owner.answer = ImproperlyConfigured("no address")
        with pytest.raises(ImproperlyConfigured):
            kept.find("session", "a")
        owner.answer = KNOWN

        assert kept.find("session", "a") == KNOWN

    def test_where_too_many_wait_nobody_is_asked(self, kept: Lookups, owner: Owner, settings: Any) -> None:
        settings.CHASSIS_HOLD_LIMIT = 0

        with pytest.raises(UnavailableError, match="too many"):
            kept.find("session", "a")

        assert not owner.asked

    def test_a_session_and_a_token_of_the_same_text_are_two(self, kept: Lookups, owner: Owner) -> None:
        kept.find("session", "a")
        kept.find("token", "a")

        assert owner.asked == [("session", "a"), ("token", "a")]

    @pytest.mark.parametrize("key", ["", "é", "a b", "a\x00", "\ud800", "a\n", "a" * 4097])
    def test_what_can_be_no_key_is_not_asked(self, kept: Lookups, owner: Owner, key: str) -> None:
        assert json.loads(kept.find("session", key)) == {"user": None, "session": {}}
        assert not owner.asked

    def test_who_guesses_pushes_nobody_out(self, kept: Lookups, owner: Owner) -> None:
        kept.find("session", "ada")
        owner.answer = b'{"user": null, "session": {}}'
        for number in range(MOST_KEPT + 10):
            kept.find("session", f"guess{number}")
        owner.asked.clear()

        kept.find("session", "ada")

        assert not owner.asked

    def test_no_more_is_kept_than_a_process_can_hold(self, kept: Lookups, owner: Owner) -> None:
        for number in range(MOST_KEPT + 10):
            kept.find("session", str(number))
        assert len(kept._flights) == MOST_KEPT
        owner.answer = json.dumps({"user": {"id": 1}, "session": {"text": "x" * 20_000}}).encode()
        kept.find("session", "large")
        owner.asked.clear()
        kept.find("session", "large")

        assert owner.asked == [("session", "large")]

    def test_no_key_is_kept(self, kept: Lookups) -> None:
        kept.find("session", "what-only-ada-has")

        assert b"what-only-ada-has" not in repr(vars(kept)).encode()
        assert all(len(name) == 32 for name in kept._flights)
