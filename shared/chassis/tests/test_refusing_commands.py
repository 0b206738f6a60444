"""What a command cannot do for how it was asked is said in one line, with exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

pytestmark = pytest.mark.django_db

ID = "f4170ede-8fb1-49bf-98d4-ec82f5b41d43"
BAD = [
    ("events show nonsense", "is no message's id"),
    (f"events show {ID}", "there is no message"),
    ("events list --source dead --capability nonsense", "nonsense has no queue of this project's"),
    ("events replay --source published", "--to CAPABILITY"),
    ("events purge --source outbox", "say which"),
    ("sagas show nonsense", "is no saga's id"),
    ("relay --metrics-port 1 --metrics-address 192.0.2.1", "nothing can be served at 192.0.2.1:1"),
]
# Refused as the words are read, and so without the exit code of a CommandError that a program sees.
UNREADABLE = [
    ("events list --since nonsense", "is no time"),
    ("events list --until 2026-13-45", "is no time"),
    ("events list --limit -3", "is no whole number from 1 on"),
    ("sagas list --limit 0", "is no whole number from 1 on"),
    ("relay --metrics-port 99999", "is no port"),
]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the tables of messages are PostgreSQL's")
@pytest.mark.parametrize(("words", "told"), BAD)
def test_what_is_not_there_is_named_with_exit_code_2(words: str, told: str) -> None:
    with pytest.raises(CommandError, match=told) as refused:
        call_command(*words.split())

    assert refused.value.returncode == 2
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("words", "told"), UNREADABLE)
def test_what_cannot_be_read_is_named(words: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command(*words.split())


MANAGE = """
import os, sys
from chassis.management.refusing import run
os.environ["DJANGO_SETTINGS_MODULE"] = "lacking"
run(["manage.py", *sys.argv[1:]])
"""


def test_a_variable_that_the_settings_miss_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "lacking.py").write_text(
        "from chassis import environment\nSECRET_KEY = environment.secret('LACKING')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", MANAGE, "events", "list"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "LACKING"} | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "LACKING" in done.stderr
