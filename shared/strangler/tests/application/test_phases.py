from __future__ import annotations

import itertools

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
    with pytest.raises(RefusedError, match="cannot act while the move is") as caught:
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


def test_a_name_belongs_to_one_capability() -> None:
    assert names.belongs(names.stream("crates", names.FORWARD), "crates")
    assert names.belongs(names.origin("crates", "copy_3"), "crates")
    assert not names.belongs(names.stream("crates_old", names.FORWARD), "crates")
    assert not names.belongs(names.origin("crates_old", "copy_3"), "crates")
    assert not names.belongs("strangler_crates", "crates")


def test_the_stream_of_a_side_carries_what_it_writes() -> None:
    assert [names.direction_from(side) for side in ("monolith", "service")] == ["forward", "reverse"]
    assert [other(side) for side in ("monolith", "service")] == ["service", "monolith"]
