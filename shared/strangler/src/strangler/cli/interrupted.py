"""What Ctrl-C has broken off: what became of it, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import click
import psycopg

from strangler import configuration
from strangler.domain.errors import StranglerError
from strangler.domain.phase import State

EXIT_CODE = 130  # as a shell says it of a program that SIGINT has ended
# {capability} may be missing where the command line had none.
AFTER = {
    "start": "nothing has changed for clients; run `strangler start {capability}` again, which begins anew, or "
    "`strangler cancel {capability}`",
    "verify": "what was proved before still counts, and rows that were repaired stay so; run it again",
    "switch": "where the owner was not changed yet, everything is as before; otherwise `strangler serve` finishes it "
    "within seconds. Look at `strangler status {capability}`, then run it again if you still want it",
    "resync": "the owner goes on as before; run `strangler resync {capability}` again",
    "complete": "run `strangler complete {capability}` again: it goes on where it stopped",
    "cancel": "run `strangler cancel {capability}` again: it goes on where it stopped",
    "retire": "run `strangler retire` again: it goes on where it stopped",
    "fault": "some databases may have it and others not: `strangler fault list` shows what is on, run it again",
    "up": "what had been started was stopped again; run it again",
    "down": "what is left runs on; run `strangler down` again",
    "rehearse": "its traffic has ended, and a stack of its own was taken down; moves in a stack that was up stay as "
    "they are: see `strangler status`",
}
AFTER["reverse"] = AFTER["switch"]
NOTHING = "nothing was changed"


def tell(words: Sequence[str]) -> None:
    """Says on standard error what was interrupted, what state it is in, and what to do."""
    plain = [word for word in words if not word.startswith("-")]
    verb, capability = [*plain, "", ""][:2]
    click.echo(f"\ninterrupted: strangler {' '.join(plain[:2])}".rstrip(), err=True)
    if capability and verb in AFTER and (state := _state(capability)):
        click.echo(f"  {state}", err=True)
    click.echo(f"  → {AFTER.get(verb, NOTHING).format(capability=capability or 'CAPABILITY')}", err=True)


def _state(capability: str) -> str | None:
    try:
        with configuration.parts(capability) as parts:
            move = parts.ledger.move(capability)
    except (StranglerError, psycopg.Error):
        return None
    if move is None:
        return f"{capability}: not started; the monolith owns it"
    busy = f"{move.state.value}; " if move.state is not State.MOVING else ""
    return f"{capability}: {busy}the {move.owner} owns it, epoch {move.epoch}"
