"""A traceback is no answer: an unforeseen error is shown with its place, the server's words and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from strangler.cli.unforeseen import unforeseen
from yard import FILE, Yard

VERBS = ["start", "status", "verify", "switch", "reverse", "complete", "cancel", "doctor"]


def run(
    made: Yard, folder: Path, *words: str, change: Callable[[str], str] = str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command line on the yard's two servers; ``change`` makes another strangler.toml of the usual one."""
    text = FILE.replace(
        "[databases.yard]",
        '[gateway]\naddress = "http://gateway"\nadmin = "http://gateway"\n\n'
        '[broker]\nurl = "amqp://elsewhere"\n\n[databases.yard]',
    )
    for name, url in (("yard", "postgresql:///yard"), ("depot", "postgresql:///depot")):
        parts = conninfo_to_dict(made.endpoints.databases[name])
        text = text.replace(
            url, "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**{**parts, "dbname": parts["dbname"]})
        )
    (folder / "strangler.toml").write_text(change(text))
    return subprocess.run(
        [sys.executable, "-m", "strangler.cli.main", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("verb", VERBS)
def test_an_error_that_no_verb_expects(moving: Yard, tmp_path: Path, verb: str) -> None:
    with moving.monolith() as connection:
        connection.execute("ALTER TABLE strangler.move RENAME COLUMN owner TO possessor")
    words = [verb] if verb in {"status", "doctor"} else [verb, "crates"]
    yes = ["--yes"] if verb in {"switch", "reverse", "complete", "cancel"} else []

    done = run(moving, tmp_path, *words, *yes)

    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"strangler {verb}" in done.stderr
    assert f"/{moving.databases[0]}: the database said: column " in done.stderr
    assert "(SQLSTATE 42703)" in done.stderr
    assert "strangler status" in done.stderr


def test_a_traceback_for_those_who_ask_for_it(moving: Yard, tmp_path: Path) -> None:
    with moving.monolith() as connection:
        connection.execute("ALTER TABLE strangler.move RENAME COLUMN owner TO possessor")

    done = run(moving, tmp_path, "status", STRANGLER_DEBUG="1")

    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_errors_of_the_program_itself() -> None:
    error = unforeseen(KeyError("crate"), ["verify", "crates", "--json"])

    assert error.exit_code == 1
    assert str(error).startswith("strangler verify crates: KeyError: 'crate'")


def test_no_password_is_told() -> None:
    for text in ("bad address postgresql://me:sesame@host/x", "host=x password=sesame", "password='ses ame' host=x"):
        assert "ame" not in unforeseen(ValueError(text)).message


@pytest.mark.parametrize(
    "text",
    [
        b"[project",
        b"\xff\xfe",
        b"",
        b"project = 3",
        b"[project]\nname = 3",
        b"[[project]]",
        b"[capabilities]\nx = 1",
        b"[project]\nname = 'x'\nledger = []",
        b"[stays]\ntables = 'x'",
    ],
)
def test_a_file_that_is_not_one(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "strangler.toml").write_bytes(text)

    done = subprocess.run(
        [sys.executable, "-m", "strangler.cli.main", "status"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "→" in done.stderr
