"""How verbs show themselves on a terminal: colours, which ``NO_COLOR`` and every other place leave out, and lines that
fit."""

from __future__ import annotations

import os
import shutil
import sys

import click


def colours_wanted() -> bool | None:
    """False where NO_COLOR is set; None leaves it to the place that is written to: a terminal gets colours."""
    return False if os.environ.get("NO_COLOR") else None


def mark(good: bool) -> str:
    """✓ or ✗."""
    return click.style("✓", fg="green") if good else click.style("✗", fg="red")


def warn(text: str) -> str:
    """A text that should be seen."""
    return click.style(text, fg="red")


class Screen:
    """Shows a page again and again in place of the last one, without an empty screen in between.

    Where the page has more lines than the terminal, the last line says how many are left out. Elsewhere than on a
    terminal each page is printed below the one before.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()

    def show(self, page: str) -> None:
        """Shows ``page`` from the terminal's upper left corner."""
        if not self._terminal:
            click.echo(page)
            return
        size = shutil.get_terminal_size()
        lines = fitted(page.splitlines(), columns=size.columns, rows=size.lines)
        # To the corner, each line with the rest of the old one erased, then all below.
        click.echo("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines[:-1]) + f"{lines[-1]}\x1b[K\x1b[J", nl=False)

    def clear(self) -> None:
        """Empties a terminal before the first page."""
        if self._terminal:
            click.clear()

    def leave(self) -> None:
        """Ends the last line."""
        if self._terminal:
            click.echo()


def fitted(lines: list[str], *, columns: int, rows: int) -> list[str]:
    """The lines cut to ``columns``, and as many as ``rows`` hold; lines with a problem come before the others."""
    cut = [_cut(line, columns) for line in lines]
    if len(cut) <= rows:
        return cut or [""]
    room = max(rows - 1, 1)
    # What a page is looked at for must not be what is left out: heads and problems stay, in their order.
    ranks = [0 if _weighs(line) else 1 for line in lines]
    kept = sorted(sorted(range(len(lines)), key=lambda place: (ranks[place], place))[:room])
    return [*(cut[place] for place in kept), _cut(f"… {len(lines) - room} more lines: make the window higher", columns)]


def _weighs(line: str) -> bool:
    plain = click.unstyle(line)
    return not plain.startswith(" ") or "PROBLEM" in plain or "STOPPED" in plain


def _cut(line: str, columns: int) -> str:
    plain = click.unstyle(line)
    return line if len(plain) <= columns else f"{plain[: max(columns - 1, 0)]}…"
