"""What was written before, and what a person has changed since.

A file that nobody changed is replaced. One that a person changed stays, and if the new text differs from the one that
was written before, it is put beside it as `NAME.new`: nothing is merged by a program, and nothing is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from strangler.domain.errors import RefusedError
from strangler.extract.draft import Decision, Kind

RECORD = ".extract.json"
FORM = 1
BESIDE = ".new"


@dataclass(frozen=True, slots=True)
class Record:
    """What `extract` remembers in the target: for what, with which choices, and by path the digest of what it wrote."""

    capability: str
    relations: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)

    def as_text(self) -> str:
        """As it is written."""
        content = {
            "form": FORM,
            "written_by": f"strangler extract {self.version}",
            "capability": self.capability,
            "relations": self.relations,
            "files": dict(sorted(self.files.items())),
        }
        return json.dumps(content, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class Merged:
    """``files`` are to be written (also those beside), ``removed`` to be taken away; the others stay as they are."""

    files: Mapping[PurePosixPath, str]
    removed: tuple[PurePosixPath, ...] = ()
    kept: tuple[PurePosixPath, ...] = ()
    decisions: tuple[Decision, ...] = ()


def digest(text: str) -> str:
    """Of a file's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(file: Path) -> str:
    """Of a file which no text holds."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def changed(target: Path, record: Record | None, copies: Mapping[PurePosixPath, Path]) -> tuple[PurePosixPath, ...]:
    """Which copies in the target a person has changed or taken away since: they stay so."""
    if record is None:
        return ()
    return tuple(
        path
        for path in copies
        if (before := record.files.get(str(path)))
        and (not (target / path).is_file() or digest_of(target / path) != before)
    )


def read(target: Path, capability: str) -> Record | None:
    """What an earlier run has left in the target; None where there is nothing yet.

    Raises:
        RefusedError: the target holds something that `extract` has not written, or another capability.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    path = target / RECORD
    remedy = "name a folder that is not there yet by --to, or move this one away"
    if not target.is_dir() or not path.is_file():
        raise RefusedError(
            "is not empty, and `strangler extract` has not written it", place=str(target), remedy=remedy,
            id="target-not-empty",
        )  # fmt: skip
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = Record(
            str(content["capability"]),
            str(content["relations"]),
            str(content["written_by"]),
            {str(name): str(one) for name, one in content["files"].items()},
        )
        known = content["form"] == FORM
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(
            f"cannot be read, so nobody knows what a person has changed: {error}", place=str(path),
            remedy=f"restore the file, or {remedy}", id="target-not-empty",
        ) from error  # fmt: skip
    if not known or record.capability != capability:
        raise RefusedError(
            f"was written for {record.capability}" if known else "was written by another version of this tool",
            place=str(target), remedy=remedy, id="target-not-empty",
        )  # fmt: skip
    return record


def merge(
    target: Path, record: Record | None, files: Mapping[PurePosixPath, str], others: Collection[PurePosixPath] = ()
) -> Merged:
    """Compares the new files with those of the target and those of the record; ``others`` are copied besides."""
    if record is None:
        return Merged(files)
    wanted: dict[PurePosixPath, str] = {}
    kept: list[PurePosixPath] = []
    decisions: list[Decision] = []
    for path, text in files.items():
        before = record.files.get(str(path))
        present = _text(target / path)
        if present == text:
            continue
        if (present is None and before is None) or (present is not None and before == digest(present)):
            wanted[path] = text
        elif before == digest(text) or present is None:
            kept.append(path)
        else:
            kept.append(path)
            wanted[_beside(path)] = text
            decisions.append(_both(path))
    decisions += [_both(path) for path in kept if (target / _beside(path)).is_file() and _beside(path) not in wanted]
    gone: list[PurePosixPath] = []
    left: list[PurePosixPath] = []
    for name, before in record.files.items():
        path = PurePosixPath(name)
        if path not in files and path not in others and (present := _text(target / path)) is not None:
            (gone if digest(present) == before else left).append(path)
    decisions += [
        Decision("", Kind.FILE, f"{path} is no longer written, and you have changed it", "take it away, or keep it",
                 open=False, target=str(path))
        for path in left
    ]  # fmt: skip
    return Merged(wanted, tuple(gone), (*kept, *left), tuple(decisions))


def _both(path: PurePosixPath) -> Decision:
    return Decision(
        "",
        Kind.FILE,
        f"{path} was changed by you, and would now be written otherwise: your text was kept",
        f"carry over what you want of {path.name}{BESIDE}, and delete that file",
        target=str(path),
    )


def _beside(path: PurePosixPath) -> PurePosixPath:
    return path.with_name(f"{path.name}{BESIDE}")


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")  # with the line ends that it has
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return ""
