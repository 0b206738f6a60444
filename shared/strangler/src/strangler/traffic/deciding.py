"""What no source can tell and a write needs: the file has a name for it, which a person gives a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from strangler.traffic.known import Of, Open, Request, Unknown
from strangler.traffic.steps import Step
from strangler.traffic.things import identifier


def opened(steps: Sequence[Step]) -> Iterator[tuple[Open, Request]]:
    """Puts a decision into the body of each write where something is not known."""
    taken: set[str] = set()
    for step in steps:
        if step.request.unknown_body:
            step.request.body = Open(f"which body does {step.request} take? A log has none (--openapi FILE says it)")
        if step.request.writes:
            found = _Opening(step, taken)
            step.request.body = found.opened(step.request.body, "", "body")
            yield from ((each, step.request) for each in found.decisions)


class _Opening:
    """The decisions of one request; ``taken`` are the names that the file has."""

    def __init__(self, step: Step, taken: set[str]) -> None:
        self.decisions: list[Open] = []
        self._step = step
        self._taken = taken

    def opened(self, tree: Any, at: str, word: str) -> Any:
        """The body with a decision in each place of which nobody knows what belongs there."""
        if isinstance(tree, dict):
            return {name: self.opened(each, f'{at}["{name}"]', str(name)) for name, each in tree.items()}
        if isinstance(tree, list):
            return [self.opened(each, f"{at}[{number}]", word) for number, each in enumerate(tree)]
        match tree:
            case Of(word=what) if at not in self._step.of:
                return self._named(
                    word, f"which {what} does {self._step.request} take? Nothing that a client can ask shows one"
                )
            case Unknown(why=why):
                return self._named(word, f"{why} ({self._step.request})")
            case Open(question=question):
                return self._named(word, question)
        return tree

    def _named(self, word: str, question: str) -> Open:
        name = identifier(f"{self._step.name}_{word}").upper()
        while name in self._taken:
            name += "_2"
        self._taken.add(name)
        self.decisions.append(Open(question, name))
        return self.decisions[-1]
