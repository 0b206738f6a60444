"""What the methods of a visit are called."""

from __future__ import annotations

import keyword
from collections.abc import Sequence

from strangler.traffic.known import results, singular
from strangler.traffic.steps import Step
from strangler.traffic.things import identifier, speaks

VERBS = {"GET": "see", "POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}
TAKEN = ("register", "log_in", "arrive", "new")


def name(steps: Sequence[Step]) -> None:
    """Gives each step that has none a name of its own."""
    taken = set(TAKEN)
    for step in steps:
        if step.name:
            continue
        words = [identifier(part) for part in step.request.path.split("/") if speaks(part)] or ["root"]
        found, count = _name(step, words), 2
        while found in taken or keyword.iskeyword(found):
            longer = f"{found.partition('_')[0]}_{'_'.join(words)}"
            found = longer if longer not in taken else f"{longer}_{count}"
            count += 1
        taken.add(found)
        step.name = found


def _name(step: Step, words: Sequence[str]) -> str:
    method = step.request.method
    after = step.request.path.rpartition("}")[2].strip("/") if step.on else ""
    if after and method == "POST" and not step.gives and step.on:
        return f"{identifier(after)}_{step.on.one}"
    if method == "GET" and (step.gives or results(step.request.answer)[1] is not None):
        return f"list_{words[-1]}"
    if (step.on and not after) or (method == "POST" and step.gives):
        return f"{VERBS[method]}_{singular(words[-1])}"
    return f"{VERBS[method] if method != 'POST' else 'send'}_{'_'.join(words[-2:])}"
