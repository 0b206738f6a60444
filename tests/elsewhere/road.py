"""The road of docs/how-to/own-project.md, as a reader types it: the page's own commands, for the library."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.elsewhere import by_hand, numbers
from tests.stack import ROOT, Stack
from tests.suites import postgres

HERE = Path(__file__).resolve().parent
PAGE = ROOT / "docs/how-to/own-project.md"
# What a reader puts in place of the page's names, and adds to its commands.
MEANT = {"billing": "loans"}
ADDED = {
    "strangler rehearse": "--script moves.txt --requests 400 --writes 100 --clients 8 "
    "--report report/report.json --json",
    # A reader is asked, at a terminal.
    **{f"strangler {verb} loans": "--yes" for verb in ("switch", "reverse", "complete")},
}
# It ends with 1 as long as something is in the way: here until its next line was edited.
ASKED = ".venv/bin/python manage.py strangler_check loans"
# What the draft asks for: accounts that `manage.py fill` makes.
ACCOUNTS = {
    "LIBRARY_USERNAME": ",".join(f"R{number}" for number in range(400)),
    "LIBRARY_PASSWORD": "2580-at-the-desk",
}
MOVES = """\
start loans
verify loans
switch loans
traffic 100
reverse loans
traffic 50
switch loans
traffic 50
complete loans
"""


def blocks(section: str, kind: str) -> list[str]:
    """The fenced blocks of one section of the page."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    return found


def commands(section: str) -> list[str]:
    """The commands of the page's fenced blocks in one section, in order, with the names that a reader puts there."""
    lines = "".join(blocks(section, "console")).splitlines()
    found = [re.sub(r"\s+# .*", "", line[2:]) for line in lines if line.startswith("$ ")]
    assert found, f"{PAGE.name} has no commands under {section}"
    for theirs, ours in MEANT.items():
        found = [line.replace(theirs, ours) for line in found]
    return [f"{line} {ADDED[line]}" if line in ADDED else line for line in found]


class Road:
    """The project in a folder of its own, and what has become of it so far."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.written = 0
        self.left: list[str] = []
        self._environment = {**os.environ, **environment, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"}

    def elsewhere(self, folder: Path, **environment: str) -> Road:
        """A copy of it, without what has run; its commands have this environment, too."""
        shutil.copytree(self.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("var", "report"))
        return Road(folder, {**self._environment, **environment})

    @property
    def stack(self) -> Stack:
        """That of its folder."""
        return Stack(self.folder / "var", self.folder / "strangler.toml")

    def type_next(self) -> None:
        """Types the next line of the page."""
        line = self.left.pop(0)
        self.type(line, code=1 if line == ASKED else 0)

    def type(self, line: str, code: int = 0, within: str = ".") -> str:
        """Types one line, or edits the files that it names; returns what was printed."""
        words, began = shlex.split(line), time.monotonic()
        if words[0] == "$EDITOR":
            self._edit(words[1:])
            return ""
        done = subprocess.run(
            words,
            cwd=self.folder / within,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        print(f"{time.monotonic() - began:6.1f} s  {line}")
        assert done.returncode == code, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _edit(self, names: Sequence[str]) -> None:
        """What by_hand has for these files, and nothing for others."""
        service = self.folder / "services/loans"
        for name in names:
            if self.folder / name == service:
                self.written += by_hand.write(service, by_hand.SERVICE)
                continue
            changes = {**by_hand.MONOLITH, **by_hand.TRAFFIC}
            self.written += by_hand.write(self.folder, {name: changes[name]})


@contextmanager
def at_the_beginning(folder: Path) -> Iterator[Road]:
    """The project with an environment of its own, and a server for its tests."""
    shutil.copytree(HERE / "library", folder, ignore=shutil.ignore_patterns("__pycache__", "var"))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "moves.txt").write_text(MOVES)
    with postgres() as environment:
        yield Road(folder, {"DATABASE_URL": environment["DATABASE_URL"], **ACCOUNTS})


@contextmanager
def begun(folder: Path) -> Iterator[Road]:
    """What the page has under "The road in short" was typed until the stack is up; `left` has the rest."""
    with at_the_beginning(folder) as made, made.stack.ending():
        made.left = commands("The road in short")
        while not made.left[0].startswith("strangler up"):
            made.type_next()
        made.type_next()
        databases = made.stack.environment()["databases"]
        numbers.type_page(made.folder, databases["monolith"], databases["loans"])
        yield made
