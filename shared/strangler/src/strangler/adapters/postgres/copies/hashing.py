"""Proves a copy equal: both sides hash the same key ranges, and a range that differs is cut until it has only a few
rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from strangler.adapters.postgres.copies.differing import CatchUp, Difference, Judge
from strangler.adapters.postgres.copies.reading import Key, Range, Reader, hash_of
from strangler.adapters.postgres.copies.totals import Part, Sessions, Totals
from strangler.adapters.postgres.session.connection import Connection
from strangler.adapters.postgres.tables.catalog import Table

RANGE_ROWS = 20_000
RANGE_BYTES = 64 * 1024 * 1024
PARTS = 16  # into which a range that differs is cut
FEW_ROWS = 500  # rows that are asked for one by one
KEPT_ROWS = 10_000  # differences that are named; the others are counted


@dataclass(slots=True)
class Proof:
    """The result of a verify; ``differences`` are the first of those that it found."""

    rows: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, found: Sequence[Difference]) -> None:
        """Counts the differences, and keeps those for which there is room."""
        self.differing += len(found)
        self.differences += found[: KEPT_ROWS - len(self.differences)]


def compare(
    owner: Connection,
    copy: Connection,
    tables: Sequence[tuple[Table, Table]],
    *,
    catch_up: CatchUp,
    progress: Callable[[int], None],
    by_bytes: bool = False,
    still: bool = False,
    found: Callable[[Sequence[Difference]], None] = lambda _: None,
    more: Sequence[Sessions] = (),
) -> Proof:
    """Compares all rows of all tables, each given as the owner's and the copy's, while writes go on.

    However wide the rows are, only hashes and keys are read: of one range at a time, and of its parts if it differs.
    ``by_bytes``: the two databases sort differently. ``still``: neither side changes meanwhile. ``found`` is called
    with all differences, a few at a time. ``more`` has sessions of the owner and of the copy which see the same as the
    first two: as many ranges as there are pairs are hashed at a time, and both sides of each.
    """
    proof = Proof()
    judge = Judge(catch_up, lambda: progress(proof.rows))
    judged = judge.still if still else judge.judge
    with Totals(more) as totals:
        for part, (rows, total), (count, other) in totals.of(_parts(owner, copy, tables, by_bytes)):
            if (rows, total) != (count, other):
                for keys in _suspects(part.owner, part.copy, part.within, max(rows, count)):
                    unlike = judged(part.owner, part.copy, keys)
                    proof.add(unlike)
                    found(unlike)
            proof.rows += rows
            progress(proof.rows)
    return proof


def _parts(
    owner: Connection, copy: Connection, tables: Sequence[tuple[Table, Table]], by_bytes: bool
) -> Iterator[Part]:
    # The largest first, so that at the end no range is long.
    for here, there in sorted(tables, key=lambda pair: pair[0].estimate, reverse=True):
        if here.partitioned:
            continue
        columns = tuple(column.name for column in there.columns)
        mine, theirs = Reader(owner, here, columns, by_bytes), Reader(copy, there, columns, by_bytes)
        for within in Range().cut(mine.bounds(_size(mine)) or [()]):
            yield Part(mine, theirs, within)


def _size(reader: Reader) -> int:
    width = reader.bytes_a_row()
    return min(RANGE_ROWS, max(100, int(RANGE_BYTES / width))) if width else RANGE_ROWS


def _suspects(owner: Reader, copy: Reader, within: Range, rows: int) -> Iterator[list[Key]]:
    """Keys of rows that were not the same on both sides, a few at a time."""
    if rows <= FEW_ROWS:
        here, there = owner.prints(within), copy.prints(within)
        keys = here.keys() | there.keys()
        unlike = [key for key in sorted(keys) if hash_of(here, key) != hash_of(there, key)]
        if unlike:
            yield unlike
        return
    # The side with more rows says where to cut: the other may have none of them.
    counts = owner.total(within)[0], copy.total(within)[0]
    fuller = owner if counts[0] >= counts[1] else copy
    for part in within.cut(fuller.starts(within, -(-max(*counts, 1) // PARTS)) or [()]):
        mine, theirs = owner.total(part), copy.total(part)
        if mine != theirs:
            # Counted anew, for writers may have added rows to a part since it was cut.
            yield from _suspects(owner, copy, part, max(mine[0], theirs[0]))
