"""The verbs that a rehearsal runs on the local stack, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import project
from strangler.domain.errors import StackError
from strangler.domain.project import Endpoints, Project
from strangler.rehearsal.adapters import stack as module
from strangler.rehearsal.adapters.stack import RehearsalStack

WIPE = "down --wipe --yes"


UP = "up --detach --data sample"


class World:
    """Stacks by their state folders, and the verbs that were run."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.up: Path | None = None
        self.comes_up = True
        self.verbs: list[str] = []

    def strangler(self, stack: RehearsalStack, *words: str) -> int:
        self.verbs.append(" ".join(words))
        if words[0] == "up" and not self.comes_up:
            return 2
        self.up = stack.project.state if words[0] == "up" else None
        if self.up:
            self.up.mkdir(parents=True, exist_ok=True)
        if "--wipe" in words:
            stack.project.state.rmdir()
        return 0

    def endpoints(self, project: Project) -> Endpoints:
        if self.up != project.state:
            raise StackError("the stack is not up")
        return Endpoints("http://gateway", "http://admin", "amqp://broker", {}, {})

    def rehearse(self, *, proved: bool = True, keep: bool = False) -> Path:
        with RehearsalStack(project(self.state), data="sample", keep=keep) as stack:
            assert stack.endpoints.gateway == "http://gateway"
            stack.proved = proved
            return stack.project.state


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path / "var")
    monkeypatch.setattr(module, "endpoints", world.endpoints)

    def strangler(stack: RehearsalStack, *words: str) -> int:
        return world.strangler(stack, *words)

    monkeypatch.setattr(RehearsalStack, "_strangler", strangler)
    return world


def test_a_stack_that_is_up_is_left_as_it_is(world: World) -> None:
    world.up = world.state

    assert world.rehearse() == world.state
    assert world.verbs == []


def test_a_stack_of_its_own_stands_beside_the_developer_s(world: World) -> None:
    assert world.rehearse() == world.state / "rehearsal"
    assert world.verbs == [UP, WIPE]


def test_data_of_a_rehearsal_that_failed_stay_until_the_next(world: World) -> None:
    world.rehearse(proved=False)
    world.rehearse()

    assert world.verbs == [UP, "down", WIPE, UP, WIPE]


def test_a_stack_that_is_kept_stays_up(world: World) -> None:
    world.rehearse(keep=True)

    assert world.verbs == [UP]


def test_a_stack_that_does_not_come_up_is_cleared_away(world: World) -> None:
    world.comes_up = False

    with pytest.raises(StackError, match="did not come up"):
        world.rehearse()

    assert world.verbs == [UP, "down"]
