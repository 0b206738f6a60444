from __future__ import annotations

import itertools
import re

import pytest
from strangler.domain import names
from strangler.domain.errors import ConfigurationError, MoveError, PreflightError, RefusedError
from strangler.domain.move import other
from strangler.domain.phase import FOLLOWS, INTERRUPTED, NEXT, State, require

PAIRS = list(itertools.product([None, *State], State))


@pytest.mark.parametrize(("present", "wanted"), PAIRS)
def test_what_may_follow_is_allowed_and_all_else_refused_with_a_next_step(present: State | None, wanted: State) -> None:
    if wanted in FOLLOWS[present]:
        require("crates", present, wanted, verb="act")
        return
    with pytest.raises(RefusedError, match="cannot act: the move ") as caught:
        require("crates", present, wanted, verb="act")
    assert caught.value.place == "crates"
    assert caught.value.remedy
    assert "{" not in str(caught.value)


def test_every_state_has_followers_and_a_next_step() -> None:
    assert set(FOLLOWS) == set(NEXT) == {None, *State}
    assert FOLLOWS[State.SWITCHING] == {State.MOVING, State.SETTLING}
    assert FOLLOWS[State.SETTLING] == {State.MOVING}
    assert {State.SWITCHING, State.SETTLING} == INTERRUPTED


def test_every_state_can_be_reached_from_the_start() -> None:
    reached: set[State | None] = {None}
    for _ in State:
        reached |= {state for present in reached for state in FOLLOWS[present]}
    assert reached == {None, *State}


def test_errors_say_where_and_what_to_do() -> None:
    error = MoveError("it broke", place="crates", remedy="mend it")

    assert str(error) == "crates: it broke\n  → mend it"
    assert str(MoveError("it broke")) == "it broke"
    assert [kind.exit_code for kind in (MoveError, RefusedError, PreflightError, ConfigurationError)] == [1, 2, 2, 2]


DATABASES = ["yard", "yard_b", "Yard", "yard-b", "yärd", "y" * 63, "y" * 62 + "z", "a", "a_b", "1"]


def test_a_name_belongs_to_one_capability() -> None:
    for database in DATABASES:
        for capability in ("crates", "c" * 40):
            assert names.belongs(names.stream(database, capability, names.FORWARD), database, capability)
            assert names.belongs(names.origin(database, capability, "copy_3"), database, capability)
            assert names.of_database(names.stream(database, capability, names.FORWARD), database)
            assert not names.belongs(names.stream(database, "crates_old", names.FORWARD), database, capability)
            assert not names.belongs(names.origin(database, "crates_old", "copy_3"), database, capability)
            assert not names.belongs(names.stream(f"{database}2", capability, names.FORWARD), database, capability)
    assert not names.belongs("strangler_crates", "yard", "crates")


def test_a_name_from_before_names_had_a_database_belongs_too() -> None:
    assert names.belongs(names.stream_before("crates", names.REVERSE), "yard", "crates")
    assert not names.belongs(names.stream_before("crates_old", names.REVERSE), "yard", "crates")


def test_no_two_databases_and_capabilities_have_one_name_and_each_is_a_slot_s() -> None:
    made = {
        names.stream(database, capability, direction)
        for database in DATABASES
        for capability in ("crates", "b_crates", "c" * 40, "c" * 39 + "d")
        for direction in (names.FORWARD, names.REVERSE)
    }

    assert len(made) == len(DATABASES) * 4 * 2
    assert all(re.fullmatch(r"[a-z0-9_]{1,63}", name) for name in made)


def test_the_stream_of_a_side_carries_what_it_writes() -> None:
    assert [names.direction_from(side) for side in ("monolith", "service")] == ["forward", "reverse"]
    assert [other(side) for side in ("monolith", "service")] == ["service", "monolith"]
