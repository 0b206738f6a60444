"""Hashes of ranges, of both sides at the same time, and of several ranges at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Self

from psycopg import sql

from strangler.adapters.postgres.copies.reading import Range, Reader, Total
from strangler.adapters.postgres.session.connection import Connection, connect

Sessions = tuple[Connection, Connection]
"""A session of the owner and one of the copy."""


@dataclass(frozen=True, slots=True)
class Part:
    """A range of one table, and who reads it."""

    owner: Reader
    copy: Reader
    within: Range


@contextmanager
def sessions(
    owner_dsn: str, copy_dsn: str, *, purpose: str, number: int, snapshot: str | None = None
) -> Iterator[list[Sessions]]:
    """So many sessions of each side; those of the owner see the exported ``snapshot``, if there is one."""
    with ExitStack() as held:
        pairs = [
            (
                held.enter_context(connect(owner_dsn, purpose=purpose, idle_ms=0)),
                held.enter_context(connect(copy_dsn, purpose=purpose, idle_ms=0)),
            )
            for _ in range(number)
        ]
        for owner, copy in pairs:
            for each in (owner, copy):
                # There are as many processes as there should be already.
                each.execute("SET max_parallel_workers_per_gather = 0")
            if snapshot is not None:
                owner.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                owner.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        yield pairs


class Totals:
    """The totals of parts, in their order; with as many parts at work as there are ``pairs``, and as many waiting.

    Without ``pairs`` the parts' own sessions are asked, one after the other. Used as a context, which waits for the
    sessions' last answers.
    """

    def __init__(self, pairs: Sequence[Sessions]) -> None:
        self._pairs = len(pairs)
        self._free: SimpleQueue[Sessions] = SimpleQueue()
        for pair in pairs:
            self._free.put(pair)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._pairs:
            # Who waits for a copy's answer must not keep from its thread whoever is to give it.
            self._parts, self._copies = (self._open.enter_context(ThreadPoolExecutor(self._pairs)) for _ in range(2))
        return self

    def __exit__(self, *failure: object) -> None:
        if self._pairs:
            self._parts.shutdown(cancel_futures=True)
        self._open.close()

    def of(self, parts: Iterable[Part]) -> Iterator[tuple[Part, Total, Total]]:
        """Each part with the owner's total and the copy's."""
        begun: deque[tuple[Part, Future[tuple[Total, Total]]]] = deque()
        for part in parts:
            if not self._pairs:
                yield part, part.owner.total(part.within), part.copy.total(part.within)
                continue
            begun.append((part, self._parts.submit(self._total, part)))
            if len(begun) > 2 * self._pairs:
                yield self._next(begun)
        while begun:
            yield self._next(begun)

    def _next(self, begun: deque[tuple[Part, Future[tuple[Total, Total]]]]) -> tuple[Part, Total, Total]:
        part, future = begun.popleft()
        return part, *future.result()

    def _total(self, part: Part) -> tuple[Total, Total]:
        owner, copy = self._free.get()
        try:
            there = self._copies.submit(replace(part.copy, connection=copy).total, part.within)
            here = replace(part.owner, connection=owner).total(part.within)
            return here, there.result()
        finally:
            self._free.put((owner, copy))
