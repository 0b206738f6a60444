"""What the commands print and with which exit code they end, as a program sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_unforeseen import run
from yard import Yard, footprint

SHARED = {"ready", "findings", "next"}


def answer(made: Yard, folder: Path, *words: str, code: int) -> dict[str, Any]:
    """The JSON of a command that ends with this exit code."""
    done = run(made, folder, *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    assert content.keys() >= SHARED
    assert content["ready"] == (code == 0)
    assert all(one.keys() == {"id", "severity", "place", "message", "remedy"} for one in content["findings"])
    return content


def test_a_preflight_says_what_is_found_and_what_follows(ground: Yard, tmp_path: Path) -> None:
    before = footprint(ground)
    ready = answer(ground, tmp_path, "preflight", code=0)

    assert ready["next"] == ["strangler start crates"]
    assert ready["capabilities"]["crates"]["estimate"]["rows"] >= 0
    assert footprint(ground) == before

    with ground.service() as connection:
        connection.execute("ALTER TABLE ticket ADD surplus int")
    found = answer(ground, tmp_path, "preflight", "crates", code=2)
    shown = run(ground, tmp_path, "preflight", "crates")

    assert [one["id"] for one in found["findings"] if one["severity"] == "error"] == ["tables-differ"]
    assert shown.returncode == 2
    assert "crates: 1 thing in the way" in shown.stdout
    assert "✗ tables-differ" in shown.stdout
    assert "NOT looked at:" in shown.stdout
    # A start is refused by the same finding.
    assert answer(ground, tmp_path, "start", "crates", code=2)["findings"] == [
        one for one in found["findings"] if one["severity"] == "error"
    ]


def started_by_up(text: str) -> str:
    """The project with processes, a gateway and a broker that only `strangler up` would start."""
    for name in ("office", "depot"):
        text = text.replace(f'address = "http://{name}"', 'directory = "."\ncommand = ["true"]\nhttp = true')
    return text.replace('address = "http://gateway"\nadmin = "http://gateway"', "port = 0").replace(
        'url = "amqp://elsewhere"', "embedded = true"
    )


def test_a_preflight_needs_the_databases_alone(ground: Yard, tmp_path: Path) -> None:
    done = run(ground, tmp_path, "preflight", "crates", "--json", change=started_by_up)
    refused = run(ground, tmp_path, "start", "crates", change=started_by_up)

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ready"]
    assert refused.returncode == 2
    assert "the stack is not up" in refused.stderr


def test_a_dry_run_with_a_shut_gate_would_be_refused(ground: Yard, tmp_path: Path) -> None:
    ground.start()

    shown = run(ground, tmp_path, "switch", "crates", "--dry-run")
    told = answer(ground, tmp_path, "switch", "crates", "--dry-run", code=2)

    assert shown.returncode == 2
    assert "would be refused" in shown.stdout
    assert "the gate verify is shut" in shown.stdout
    assert "gate-verify" in {one["id"] for one in told["findings"]}
    assert "strangler verify crates" in told["next"]


@pytest.mark.parametrize(
    ("words", "id"),
    [
        (["verify", "crate"], "unknown-name"),
        (["verify", "crates"], "move-state"),
        (["verify", "crates", "--repare"], "usage"),
        (["preflight", "krates"], "unknown-name"),
    ],
)
def test_a_refusal_speaks_json_too(ground: Yard, tmp_path: Path, words: list[str], id: str) -> None:
    told = answer(ground, tmp_path, *words, code=2)

    assert [one["id"] for one in told["findings"]] == [id]


def test_status_verify_and_doctor_name_what_can_follow(moving: Yard, tmp_path: Path) -> None:
    status = answer(moving, tmp_path, "status", code=0)
    verify = answer(moving, tmp_path, "verify", "crates", code=0)
    doctor = answer(moving, tmp_path, "doctor", code=0)

    assert "strangler switch crates" in status["next"]
    assert verify["next"] == ["strangler switch crates --dry-run"]
    assert doctor["findings"] == []
