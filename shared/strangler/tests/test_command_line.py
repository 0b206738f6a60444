"""The command line answers a newcomer: what there is, what was meant, and what an interrupted verb has left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result
from strangler.adapters import toml
from strangler.cli import console, init, interrupted
from strangler.cli.display import fitted
from strangler.cli.main import VERBS
from strangler.domain.findings import Finding, Severity
from strangler.domain.words import counted
from strangler.stack import state
from strangler.stack.identity import identify
from strangler.stack.state import State

FILE = """
[project]
name = "shop"
ledger = "monolith"
monolith = "monolith"

[databases.monolith]
embedded = true

[databases.billing]
embedded = true

[processes.monolith]
directory = "."
command = ["serve"]
http = true

[processes.billing]
address = "http://billing"

[capabilities.billing]
tables = ["billing_invoice"]
process = "billing"
database = "billing"
routes = ["GET,POST /invoices"]
"""


def test_the_list_of_commands_fits_80_columns_and_leaves_nothing_out(at: Callable[..., Result]) -> None:
    shown = at("--help", terminal_width=80).output

    listed = [line.split()[0] for line in shown.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert listed == list(VERBS)
    assert shown.count("...") == 1  # of the usage
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["swich", "x"], "Did you mean `strangler switch`?"),
        (["billing", "switch"], "Did you mean `strangler switch billing`?"),
        (["conquer"], "`strangler --help` lists them"),
        (["status", "--wach"], "Did you mean '--watch'?"),
        (["verify"], "Name one of: billing"),
        (["manage"], "Name one of: monolith"),
        (["verify", "bling"], "did you mean billing?"),
        (["status", "bling"], "did you mean billing?"),
        (["manage", "monolit", "check"], "did you mean monolith?"),
        (["env", "--for", "monolit"], "did you mean monolith?"),
    ],
)
def test_what_was_meant(at: Callable[..., Result], words: list[str], told: str) -> None:
    done = at(*words)

    assert done.exit_code == 2
    assert told in done.output


def test_an_error_says_under_which_identifier_more_is_written(at: Callable[..., Result]) -> None:
    assert at("verify", "bling").output.endswith("\n  see [unknown-name] in docs/how-to/when-something-is-wrong.md\n")


def test_an_error_of_several_things_names_the_identifier_of_each_once() -> None:
    found = [Finding(name, Severity.ERROR, "here", "is so", "mend it") for name in ("rule", "wal-level", "rule")]

    assert console.read_on(found).startswith("see [rule], [wal-level] in docs/")


def test_the_shell_completes_capabilities_and_processes(at: Callable[..., Result]) -> None:
    def completed(*words: str) -> str:
        environment = {"_STRANGLER_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words) - 1)}
        return at(prog_name="strangler", env={**environment, "COMP_WORDS": " ".join(words)}).output

    assert completed("strangler", "switch", "bi") == "plain,billing\n"
    assert completed("strangler", "manage", "mono") == "plain,monolith\n"
    assert "plain,status" in completed("strangler", "sta")


def test_a_stack_that_is_still_starting_is_told_as_that(at: Callable[..., Result], tmp_path: Path) -> None:
    me = identify(os.getpid())
    assert me is not None
    state.write(toml.load(tmp_path / "strangler.toml"), State(supervisor=me))

    done = at("status")

    assert done.exit_code == 2
    assert "the stack is still starting" in done.output


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in {"serve", "agent", "manage"}])
def test_ctrl_c_says_what_became_of_it(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    interrupted.tell([verb, "--yes"])

    said = capsys.readouterr().err
    assert said.startswith(f"\ninterrupted: strangler {verb}\n")
    assert "  → " in said


def test_no_message_repeats_a_password_of_the_command_line(
    at: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither that of an interrupted verb nor that of an error which nobody expected."""
    for error in (KeyboardInterrupt(), RuntimeError("it broke")):

        def fail(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(init.Origin, "described", fail)
        done = at("init", "--print", "--database", "postgresql://me:hush@host/yard")
        assert done.exit_code in (1, 130)
        said = done.output + capsys.readouterr().err
        assert "postgresql://…@host/yard" in said
        assert "hush" not in said


def test_ctrl_c_ends_a_verb_with_130(tmp_path: Path) -> None:
    (tmp_path / "strangler.toml").write_text(FILE)
    code = (
        # What a shell starts in the background ignores the signal, and so would its children.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import strangler.configuration as c, time\n"
        "def wait():\n    print('waiting', flush=True)\n    time.sleep(60)\n"
        "c.project = wait\n"
        "from strangler.cli.main import main\nmain(['doctor'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said == "\ninterrupted: strangler doctor\n  → nothing was changed\n"


def test_a_page_that_is_too_long_keeps_heads_and_problems() -> None:
    lines = ["users: moving", *(f"  line {number}" for number in range(30)), "  PROBLEM: no owner", "orders: started"]

    shown = fitted(lines, columns=80, rows=24)

    assert len(shown) == 24
    assert {"users: moving", "  PROBLEM: no owner", "orders: started"} < set(shown)
    assert shown[-1] == "… 10 more lines: make the window higher"


def test_a_line_that_is_too_long_is_cut_and_one_that_fits_keeps_its_colour() -> None:
    red = click.style("red", fg="red")

    assert fitted([red, "x" * 11], columns=10, rows=24) == [red, "x" * 9 + "…"]


def test_numbers_and_their_nouns() -> None:
    assert [counted(1, "error"), counted(0, "error"), counted(2000, "entry", "entries")] == [
        "1 error",
        "0 errors",
        "2,000 entries",
    ]
