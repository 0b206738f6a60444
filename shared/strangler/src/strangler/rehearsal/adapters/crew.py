"""The program of one process of the traffic: threads that play a scenario's behaviours.

It is started as ``python -m strangler.rehearsal.adapters.crew ASSIGNMENT``. Each line on standard input sets
the capability to which the writers write (empty: none). The end of the input, which also comes when the
rehearsal dies, ends the traffic. Each line on standard output has the totals so far.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TextIO

from strangler.domain.errors import ConfigurationError
from strangler.domain.traffic import Behaviour, Scenario, Undecided
from strangler.rehearsal.adapters.http import Connection
from strangler.rehearsal.journal import Journal
from strangler.rehearsal.pauses import WRITER
from strangler.rehearsal.traffic import Session, Tally

NICENESS = 10
TOLD_SECONDS = 0.2
AFTER_FAILURE_SECONDS = 0.2  # a client waits so long before it begins again


@dataclass(frozen=True, slots=True)
class Assignment:
    """The work of one process of the traffic: number ``process`` of ``processes``; think times are in seconds."""

    root: str
    scenario: str
    run: str
    gateway: str
    journal: str
    process: int
    processes: int
    clients: int
    writers: int
    think: float


def load_scenario(root: Path, name: str) -> type[Scenario]:
    """The class that ``package.module:Class`` names, found from the project's folder.

    Raises:
        ConfigurationError: when there is none, or something in its module is undecided.
    """
    sys.path.insert(0, str(root))
    module, _, attribute = name.partition(":")
    try:
        content = importlib.import_module(module)
        found: Any = getattr(content, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"the scenario {name} cannot be imported: {error}",
            place="strangler.toml: traffic.scenario",
            remedy="name a class as package.module:Class, importable from the project's folder",
            id="scenario",
        ) from error
    _require_decisions(vars(content))
    return found  # type: ignore[no-any-return]


def _require_decisions(names: Mapping[str, object]) -> None:
    """Raises ConfigurationError with all that is left to a person."""
    left = {name: each for name, each in names.items() if isinstance(each, Undecided)}
    if left:
        raise ConfigurationError(
            "undecided: " + "; ".join(f"{name} (line {each.place.rpartition(':')[2]}): {each.question}"
                                      for name, each in left.items()),
            place=next(iter(left.values())).place,
            remedy="write each of them there: a value, or a function of the visit; or write None, and take its request "
            "out of STEPS and WRITES",
            id="undecided",
        )  # fmt: skip


class Crew:
    """The threads of one process, which go on until :meth:`end`."""

    def __init__(self, assignment: Assignment, scenario: Scenario) -> None:
        self.tally = Tally()
        self._assignment = assignment
        self._scenario = scenario
        self._journal = Journal(Path(assignment.journal))
        self._over = threading.Event()
        self._target: str | None = None
        self._turn = threading.Condition()
        # No two clients, of any process, have the same number.
        self._numbers = count(assignment.process, assignment.processes)
        slots = [(self._client, f"client {assignment.process}.{slot}") for slot in range(assignment.clients)]
        slots += [(self._write, f"{WRITER} {assignment.process}.{slot}") for slot in range(assignment.writers)]
        self._threads = [threading.Thread(target=work, args=(name,), name=name) for work, name in slots]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def point_writers(self, capability: str | None) -> None:
        with self._turn:
            self._target = capability
            self._turn.notify_all()

    def end(self) -> None:
        """Ends the threads; returns when every request that was under way has been answered."""
        self._over.set()
        with self._turn:
            self._turn.notify_all()
        for thread in self._threads:
            thread.join()
        self._journal.close()

    def _client(self, name: str) -> None:
        rng = Random(f"{self._assignment.run} {name}")  # noqa: S311
        rate = 1 / self._assignment.think if self._assignment.think else 0.0
        self._over.wait(rng.random() * self._assignment.think)
        while not self._over.is_set():
            with closing(self._session(name, self._scenario.client(next(self._numbers), rng))) as session:
                while session.play():
                    if self._over.wait(rng.expovariate(rate) if rate else 0):
                        return
            self._over.wait(AFTER_FAILURE_SECONDS if session.failed else 0)

    def _write(self, name: str) -> None:
        rng = Random(f"{self._assignment.run} {name}")  # noqa: S311
        sessions: dict[str, Session] = {}
        while (capability := self._my_turn()) is not None:
            if capability not in sessions:
                behaviour = self._scenario.writer(capability, next(self._numbers), rng)
                sessions[capability] = self._session(name, behaviour, writer=True)
            if not sessions[capability].play():
                sessions.pop(capability).close()
                self._over.wait(AFTER_FAILURE_SECONDS)

    def _my_turn(self) -> str | None:
        """The capability to write to, as soon as there is one; None at the end."""
        with self._turn:
            self._turn.wait_for(lambda: self._target is not None or self._over.is_set())
            return None if self._over.is_set() else self._target

    def _session(self, name: str, behaviour: Behaviour, *, writer: bool = False) -> Session:
        connection = Connection(self._assignment.gateway)
        return Session(name, behaviour, http=connection, journal=self._journal, tally=self.tally, writer=writer)


def tell(crew: Crew, out: TextIO, over: threading.Event) -> None:
    """Writes the totals every so often, and a last time at the end."""
    while True:
        last = over.wait(TOLD_SECONDS)
        out.write(json.dumps(asdict(crew.tally.totals())) + "\n")
        out.flush()
        if last:
            return


def die(failed: threading.ExceptHookArgs) -> None:
    """A broken scenario must end the process, not only one thread: otherwise there would be less traffic and
    nobody would notice."""
    threading.__excepthook__(failed)
    sys.stderr.flush()
    os._exit(70)


def main(arguments: list[str], commands: TextIO, out: TextIO) -> None:
    # Real clients have machines of their own: these clients take only the time that the servers leave.
    os.nice(NICENESS)
    threading.excepthook = die
    assignment = Assignment(**json.loads(arguments[0]))
    scenario = load_scenario(Path(assignment.root), assignment.scenario)(assignment.run)
    crew = Crew(assignment, scenario)
    over = threading.Event()
    teller = threading.Thread(target=tell, args=(crew, out, over))
    crew.start()
    teller.start()
    for line in commands:
        crew.point_writers(line.strip() or None)
    crew.end()
    over.set()
    teller.join()


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin, sys.stdout)
