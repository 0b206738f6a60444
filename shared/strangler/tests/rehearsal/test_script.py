from __future__ import annotations

import pytest
from strangler.domain.errors import ConfigurationError, RefusedError
from strangler.rehearsal.script import ScriptStep, default, parse, require_possible


def test_a_script_is_a_step_a_line() -> None:
    steps = parse(
        "# night\nstart notes\n\ntraffic 50 # a while\nswitch notes --timeout 5s\n",
        place="night.txt",
        capabilities={"notes"},
    )

    assert steps == [
        ScriptStep("start", "notes"),
        ScriptStep("traffic", requests=50),
        ScriptStep("switch", "notes", ("--timeout", "5s")),
    ]


def test_the_monolith_is_retired_without_a_capability() -> None:
    assert [str(step) for step in parse("retire", place="night.txt", capabilities={"notes"})] == ["retire"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the script is empty"),
        ("start notes\ndance notes", "night.txt:2: no such step: dance"),
        ("switch", "night.txt:1: switch needs a capability"),
        ("switch books", "name one of strangler.toml: notes"),
        ("traffic much", "write `traffic 500`"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, place="night.txt", capabilities={"notes"})

    assert message in str(caught.value)


def test_by_default_every_capability_moves_and_the_first_goes_back_and_out_again() -> None:
    verbs = [str(step) for step in default(["notes", "books"]) if step.verb != "traffic"]

    assert verbs == [
        "start notes",
        "verify notes",
        "switch notes",
        "reverse notes",
        "switch notes",
        "start books",
        "verify books",
        "switch books",
    ]


@pytest.mark.parametrize(
    ("text", "present", "told"),
    [
        ("switch notes", {}, "notes would be not started by then"),
        ("start notes", {"notes": "service"}, "notes would be the service's by then"),
        ("start notes\nswitch notes\nswitch notes", {}, "step `switch notes`: notes would be the service's by then"),
        ("start notes\nswitch notes\ncomplete notes\nreverse notes", {}, "notes would be completed by then"),
        ("start notes\nretire", {"notes": "not started"}, "notes would not be completed by then"),
    ],
)
def test_a_script_that_would_stop_at_a_step_is_refused_before(text: str, present: dict[str, str], told: str) -> None:
    with pytest.raises(RefusedError, match=told):
        require_possible(parse(text, place="x", capabilities=["notes"]), present)


def test_a_script_goes_on_from_where_the_moves_are() -> None:
    text = "verify notes\nreverse notes\ntraffic 5\nswitch notes\ncomplete notes\ncomplete notes --drop\nretire"

    require_possible(parse(text, place="x", capabilities=["notes"]), {"notes": "service"})
