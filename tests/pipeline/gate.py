"""The contract gate: a project whose API or messages would break a consumer that is running does not pass.

python -m tests.pipeline.gate [NAME …] [--against REVISION]

What is in the working tree is compared with the commit at which it left the main branch: that is what others run, until
each is deployed by itself. Both directions are looked at, for old and new versions run side by side while one is rolled
out: what the new version writes is read by old consumers, and what old ones write is read by the new version. A wanted
break has no switch: docs/how-to/pipelines.md#a-wanted-break.

Exit codes: 0 nothing breaks, 1 something does, 2 there was nothing to compare with, or a name or file is wrong.
"""

from __future__ import annotations

import argparse
import difflib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.pipeline.breaks import findings, unread
from tests.pipeline.operations import operations
from tests.pipeline.projects import Tree
from tests.pipeline.schemas import UnreadableError

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "0" * 40  # what a server says of a branch that was not there before


class NoHistoryError(Exception):
    """There is no commit to compare with; the text says what to do."""


def git(*words: str, root: Path = ROOT) -> str:
    """What git says. Raises NoHistoryError."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoHistoryError("git is not installed, so there is nothing to compare with") from error
    if done.returncode:
        raise NoHistoryError(f"git {' '.join(words)}: {done.stderr.strip() or 'nothing found'}")
    return done.stdout.strip()


def compared_with(against: str = "", root: Path = ROOT) -> str:
    """The commit that others run: where this tree left ``against`` or the main branch, else its first parent.

    Raises:
        NoHistoryError: there is no such commit in this clone.
    """
    if against and against != NOWHERE:
        return git("merge-base", against, "HEAD", root=root)
    head = git("rev-parse", "HEAD", root=root)
    for branch in ("origin/main", "main"):
        try:
            left = git("merge-base", branch, "HEAD", root=root)
        except NoHistoryError:
            continue
        if left != head:
            return left
    try:
        return git("rev-parse", "--verify", "HEAD^", root=root)
    except NoHistoryError as error:
        told = "this clone has one commit and no main branch: fetch the history (git fetch --unshallow; in GitHub "
        raise NoHistoryError(told + "Actions `fetch-depth: 0`), or name a commit with --against") from error


def tree_of(revision: str, folder: Path, root: Path = ROOT) -> Tree:
    """The tree of a commit, unpacked into the folder."""
    names = git("ls-tree", "--name-only", revision, "monolith", "services", root=root).split()
    if names:
        packed = subprocess.run(
            ["git", "archive", "--format=tar", revision, *names], cwd=root, capture_output=True, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            wanted = [each for each in archive if each.isfile() and each.name.endswith((".py", ".yaml", ".json"))]
            for each in wanted:
                content = archive.extractfile(each)
                assert content is not None  # of a file
                path = folder / each.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    return Tree(folder)


def judge(only: Sequence[str] = (), against: str = "", root: Path = ROOT) -> int:
    """Prints what breaks, and what was not looked at. Raises NoHistoryError, UnreadableError."""
    revision = compared_with(against, root)
    with tempfile.TemporaryDirectory() as folder:
        base, now = tree_of(revision, Path(folder), root), Tree(root)
        found = findings(base, now, only)
        types = {each for project in now.projects.values() for each in project.messages}
        paths = {each for project in now.projects.values() for each in operations(project.openapi)}
        calls = sum(len(project.calls) for project in now.projects.values())
        for each in found:
            print(f"{each}\n")
        for place in unread(now):
            print(f"not looked at: {place}")
    print(
        f"contracts: {len(types)} types of messages, {len(paths)} operations and {calls} calls compared with "
        f"{git('log', '-1', '--format=%h %s', revision, root=root)}: "
        f"{len(found) or 'no'} {'break' if len(found) == 1 else 'breaks'}"
    )
    return 1 if found else 0


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.pipeline.gate", description="Looks for broken contracts.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="monolith, or a service; all where none is named")
    parser.add_argument("--against", default="", metavar="REVISION", help="a branch, tag or commit that others run")
    asked = parser.parse_args(arguments)
    try:
        known = list(Tree(root).projects)
        for name in asked.names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                print(f"no project {name}{meant} There are: {', '.join(known)}", file=sys.stderr)
                return 2
        return judge(asked.names, asked.against, root)
    except (NoHistoryError, UnreadableError) as error:
        print(f"contracts were not compared: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
