"""Writes docs/reference/commands.md from the command line's own help.

python docs/generate_commands.py            writes the page
python docs/generate_commands.py --check    says whether it is current
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

import click
from strangler.cli.main import main as strangler

PAGE = Path(__file__).parent / "reference" / "commands.md"
HEAD = """\
# Commands

<!-- Written by docs/generate_commands.py: change the help text of the command, then run it again. -->

What each line of output means, and what to do about it, is in
[When something is wrong](../how-to/when-something-is-wrong.md). What `--json` prints is in [its own page](json.md).
"""


def page() -> str:
    """The whole page; the verbs stand in the order of a move, as `strangler --help` lists them."""
    context = click.Context(strangler, info_name="strangler", **strangler.context_settings)
    verbs = [command for name in strangler.list_commands(context) if (command := strangler.get_command(context, name))]
    parts = [HEAD, *_section(strangler, context)]
    for verb in verbs:
        own = click.Context(verb, info_name=verb.name, parent=context)
        parts += _section(verb, own)
        if isinstance(verb, click.Group):
            for name, each in verb.commands.items():
                parts += _section(each, click.Context(each, info_name=name, parent=own))
    return "\n".join(parts)


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n"
    yield f"{_prose(command.help or '')}\n"
    yield f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    records = [
        record for option in options if "--help" not in option.opts and (record := option.get_help_record(context))
    ]
    if records:
        rows = "".join(f"| `{_cell(names)}` | {_cell(text)} |\n" for names, text in records)
        yield f"| option | |\n| --- | --- |\n{rows}"
    yield from _epilog(command.epilog or "")


def _epilog(text: str) -> Iterator[str]:
    """Paragraphs; one that click is told to leave as it is (``\\b``) holds examples."""
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b\n"):
            _, *examples = paragraph.removeprefix("\b\n").splitlines()
            yield "```console\n" + "".join(f"$ {line.strip()}\n" for line in examples) + "```\n"
        elif paragraph:
            yield f"{_prose(paragraph)}\n"


def _prose(text: str) -> str:
    return "\n\n".join(
        fill(" ".join(paragraph.split()), 118, break_on_hyphens=False) for paragraph in text.split("\n\n")
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Writes, or with ``--check`` compares; the exit code says whether the page is current."""
    fresh = page()
    if arguments == ["--check"]:
        current = PAGE.exists() and PAGE.read_text() == fresh
        print(f"{PAGE.name} {'is current' if current else 'is not current: run python docs/generate_commands.py'}")
        return 0 if current else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
