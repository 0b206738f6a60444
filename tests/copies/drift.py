"""Compares each app of the monolith with its copy in a service, but for the seams between them.

A seam is known by its lines and not by their place, so that a change on both sides moves no seam.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, unified_diff
from itertools import pairwise
from pathlib import Path

from tests.copies import seams

ROOT = Path(__file__).resolve().parents[2]
# Tests are not compared: those that both projects run exist once, in the folder to which the monolith's app links.
NOT_COMPARED = {"tests", "__pycache__"}
SHARED_TESTS = "tests/both"

COPY = (
    "Copy the change to the other file. Where the difference is meant, give its reason in tests/copies/seams.py, "
    "and run `make seams`."
)

# The monolith's lines, and those of the service in their place.
Seam = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Meant:
    """The differences that are meant: reasons by file, and the very lines where only some of a file differ."""

    in_lines: Mapping[str, str] = field(default_factory=dict)
    throughout: Mapping[str, str] = field(default_factory=dict)
    alone: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Counter[Seam]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A file of an app, named as APP/FILE, on both sides."""

    root: Path
    name: str

    @property
    def monolith(self) -> Path:
        return self.root / "monolith" / self.name

    @property
    def service(self) -> Path:
        return self.root / "services" / self.name.partition("/")[0] / self.name

    def __str__(self) -> str:
        return f"{self.monolith.relative_to(self.root)} and {self.service.relative_to(self.root)}"

    def is_whole(self) -> bool:
        return self.monolith.is_file() and self.service.is_file()

    def lines(self) -> tuple[list[str], list[str]]:
        return self.monolith.read_text().splitlines(), self.service.read_text().splitlines()


def copies_are_equal() -> bool:
    """Every app and its copy, as they are in this repository."""
    meant = Meant(seams.IN_LINES, seams.THROUGHOUT, seams.ALONE, read(seams.RECORD.read_text()))
    found = list(problems(ROOT, meant))
    print("\n\n".join(found) or f"equal in monolith and service, but for their seams: {', '.join(apps(ROOT))}")
    return not found


def record_seams() -> bool:
    """Writes down the lines that differ in the files that may differ in lines."""
    seams.RECORD.write_text(written(ROOT, seams.IN_LINES))
    return copies_are_equal()


def apps(root: Path) -> list[str]:
    """Those that both sides have: a copy that was deleted when its move was completed is no copy any more."""
    return sorted(path.name for path in (root / "services").iterdir() if (root / "monolith" / path.name).is_dir())


def problems(root: Path, meant: Meant) -> Iterator[str]:
    """Differences that are not meant, and seams that are named but do not exist; each with what to do."""
    for app in apps(root):
        yield from _tests_that_are_not_shared(Pair(root, f"{app}/{SHARED_TESTS}"))
    for pair in _pairs(root):
        if not pair.is_whole():
            if pair.name not in meant.alone:
                yield f"Only one is there of {pair}. {COPY}"
        elif pair.name not in meant.throughout:
            yield from _drift(pair, meant.record.get(pair.name, Counter()), is_meant=pair.name in meant.in_lines)
    yield from _seams_that_are_none(root, meant)


def _pairs(root: Path) -> Iterator[Pair]:
    for app in apps(root):
        sides = (root / "monolith" / app, root / "services" / app / app)
        files = {path.relative_to(side) for side in sides for path in side.rglob("*") if path.is_file()}
        yield from (Pair(root, f"{app}/{file}") for file in sorted(files) if not NOT_COMPARED & set(file.parts))


def _drift(pair: Pair, recorded: Counter[Seam], *, is_meant: bool) -> Iterator[str]:
    if recorded and not is_meant:
        yield f"seams.diff records seams of {pair}, and seams.py gives no reason: give it, or run `make seams`."
    monolith, service = pair.lines()
    expected, missing = cross(monolith, service, recorded)
    if expected != service:
        names = (f"{path.relative_to(pair.root)}" for path in (pair.monolith, pair.service))
        yield "\n".join(
            [f"Not meant to differ: {pair}", *unified_diff(expected, service, *names, lineterm=""), COPY],
        )
    elif missing:
        lines = "\n".join(_shown(missing))
        yield f"They differ less than seams.diff records: {pair}\n{lines}\nIf this is meant, run `make seams`."


def cross(monolith: Sequence[str], service: Sequence[str], recorded: Counter[Seam]) -> tuple[list[str], Counter[Seam]]:
    """What the service's file should be, given the monolith's and the seams; and the seams that were not found."""
    expected, left = list[str](), Counter(recorded)
    for first, last, seam in _blocks(monolith, service):
        if seam and left[seam]:
            left[seam] -= 1
            expected += seam[1]
        else:
            expected += monolith[first:last]
    return expected, +left


def _blocks(monolith: Sequence[str], service: Sequence[str]) -> Iterator[tuple[int, int, Seam | None]]:
    """The monolith's lines from block to block, those that differ as a seam."""
    for kind, first, last, start, end in SequenceMatcher(None, monolith, service, autojunk=False).get_opcodes():
        yield first, last, None if kind == "equal" else (tuple(monolith[first:last]), tuple(service[start:end]))


def _tests_that_are_not_shared(pair: Pair) -> Iterator[str]:
    there = [path for path in (pair.monolith, pair.service) if path.exists() or path.is_symlink()]
    if there and not (pair.monolith.is_dir() and pair.monolith.resolve() == pair.service.resolve()):
        yield f"Not one folder: {pair}. The first is to be a link to the second, which git makes where it may."


def _seams_that_are_none(root: Path, meant: Meant) -> Iterator[str]:
    named = {**meant.in_lines, **meant.throughout}
    for pair in (Pair(root, name) for name in named if name.partition("/")[0] in apps(root)):
        if not pair.is_whole() or pair.monolith.read_text() == pair.service.read_text():
            yield f"seams.py names what does not differ: {pair}. Take it out, and run `make seams`."
    for pair in (Pair(root, name) for name in meant.alone if name.partition("/")[0] in apps(root)):
        if pair.monolith.is_file() == pair.service.is_file():
            yield f"seams.py says that only one is there of {pair}. Take it out."


def written(root: Path, names: Iterable[str]) -> str:
    """The record of the seams of these files."""
    lines = list[str]()
    for pair in (Pair(root, name) for name in sorted(names)):
        if pair.is_whole():
            found = (seam for _, _, seam in _blocks(*pair.lines()) if seam)
            lines += [f"diff {pair.name}", *_shown(found)]
    return "".join(f"{line}\n" for line in lines)


def _shown(found: Iterable[Seam]) -> Iterator[str]:
    for monolith, service in found:
        yield from ("@@", *(f"-{line}" for line in monolith), *(f"+{line}" for line in service))


def read(text: str) -> dict[str, Counter[Seam]]:
    """The seams of a record, by file."""
    lines = text.splitlines()
    record = dict[str, Counter[Seam]]()
    for name, body in _parts(lines, lambda line: line.startswith("diff ")):
        blocks = (block for _, block in _parts(body, lambda line: line == "@@"))
        record[name.removeprefix("diff ")] = Counter(map(_seam, blocks))
    return record


def _parts(lines: Sequence[str], is_head: Callable[[str], bool]) -> Iterator[tuple[str, Sequence[str]]]:
    heads = [number for number, line in enumerate(lines) if is_head(line)]
    for head, end in pairwise([*heads, len(lines)]):
        yield lines[head], lines[head + 1 : end]


def _seam(block: Sequence[str]) -> Seam:
    monolith, service = (tuple(line[1:] for line in block if line[0] == side) for side in "-+")
    return monolith, service
