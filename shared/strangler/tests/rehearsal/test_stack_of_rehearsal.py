"""Which verbs a rehearsal gives to the local stack, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from strangler.adapters.rehearsal import stack as module
from strangler.adapters.rehearsal.stack import RehearsalStack
from strangler.domain.errors import StackError
from strangler.domain.project import Endpoints, Project

WIPE = "down --wipe --yes"


class World:
    """The state folder of a stack, and the verbs that were given."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.up = False
        self.comes_up = True
        self.verbs: list[str] = []

    def strangler(self, *words: str) -> int:
        verb = " ".join(words)
        self.verbs.append(verb)
        if words[0] == "up" and not self.comes_up:
            return 2
        self.up = words[0] == "up"
        if self.up:
            (self.state / "postgres").mkdir(parents=True, exist_ok=True)
        if "--wipe" in words and (self.state / "postgres").exists():
            (self.state / "postgres").rmdir()
        return 0

    def endpoints(self, project: Project) -> Endpoints:
        if not self.up:
            raise StackError("the stack is not up")
        return Endpoints("http://gateway", "http://admin", "amqp://broker", {}, {})

    def rehearse(self, *, proved: bool = True, keep: bool = False) -> None:
        project = Project(self.state / "strangler.toml", "notes", self.state, "", "", {}, {}, {}, ())
        with RehearsalStack(project, data="sample", keep=keep) as stack:
            assert stack.endpoints.gateway == "http://gateway"
            stack.proved = proved


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path / "var")
    monkeypatch.setattr(module, "endpoints", world.endpoints)
    monkeypatch.setattr(RehearsalStack, "_strangler", world.strangler)
    return world


def test_a_stack_that_is_up_is_left_as_it_is(world: World) -> None:
    world.up = True

    world.rehearse()

    assert world.verbs == []


def test_data_that_the_rehearsal_had_made_are_forgotten(world: World) -> None:
    world.rehearse()
    world.rehearse()

    assert world.verbs == ["up --detach --data sample", WIPE] * 2


def test_data_that_were_there_before_stay(world: World) -> None:
    (world.state / "postgres").mkdir(parents=True)

    world.rehearse()

    assert world.verbs == ["up --detach --data sample", "down"]


def test_data_of_a_rehearsal_that_failed_stay_until_the_next(world: World) -> None:
    world.rehearse(proved=False)
    world.rehearse()

    assert world.verbs == ["up --detach --data sample", "down", WIPE, "up --detach --data sample", WIPE]


def test_a_stack_that_is_kept_is_no_longer_the_rehearsal_s(world: World) -> None:
    world.rehearse(keep=True)
    world.up = False

    world.rehearse()

    assert world.verbs == ["up --detach --data sample", "up --detach --data sample", "down"]


def test_a_stack_that_does_not_come_up_is_cleared_away(world: World) -> None:
    world.comes_up = False

    with pytest.raises(StackError, match="did not come up"):
        world.rehearse()

    assert world.verbs == ["up --detach --data sample", "down"]
