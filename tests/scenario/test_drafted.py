"""A scenario that is drafted for the shop, from its OpenAPI file and from a run of its tests, is rehearsed as it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import ROOT, STRANGLER, Stack
from tests.suites import postgres

# Users alone are moved: what is tested is the drafted scenario, and not the moves.
MOVES = "start users\nverify users\nswitch users\ntraffic 50\nreverse users\n"
BACK = "switch users\ntraffic 50\nreverse users\n"
STAFF = {"SHOP_STAFF_USERNAME": "staff@example.com", "SHOP_STAFF_PASSWORD": "journey-2017"}
TESTS = ("users/tests/both/test_api.py", "products/tests/both/test_api.py", "orders/tests/test_lifecycle.py")
CHOSEN = "TestRegistration or TestTokens or TestMe or TestAddresses or TestReading or TestUpkeep or TestCancelling"
# The tests' own passwords, and what a token begins with.
SECRETS = re.compile(r"a-long-Passphrase|eyJ[\w-]{10}|journey-2017|sessionid")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's description, which names no scenario of the shop's own."""
    made = tmp_path_factory.mktemp("drafted")
    text = re.sub(r'directory = "', f'directory = "{ROOT}/', (ROOT / "strangler.toml").read_text())
    text = re.sub(r'scenario = "[^"]*"\nscript = "[^"]*"\n', 'scenario = "traffic:Traffic"\n', text)
    (made / "strangler.toml").write_text(text)
    (made / "moves.txt").write_text(MOVES)
    (made / "back.txt").write_text(BACK)
    return made


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    with Stack(folder / "state", folder / "strangler.toml").running() as made:
        yield made


@pytest.fixture(scope="module")
def recording(folder: Path) -> Path:
    path = folder / "traffic.jsonl"
    tests = (sys.executable, "-m", "pytest", "-q", *TESTS, "-k", CHOSEN)
    with postgres() as environment:
        done = subprocess.run(
            [STRANGLER, "traffic", "record", "--to", str(path), "--", *tests],
            cwd=ROOT / "monolith", env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def rehearsed(stack: Stack, folder: Path, script: str) -> dict[str, Any]:
    words = ["--script", str(folder / script), "--requests", "400", "--writes", "100", "--clients", "12"]
    report = folder / "report" / "report.json"
    done = stack.run("rehearse", *words, "--report", str(report), "--json", seconds=300, **STAFF)
    return {**json.loads(done.stdout), "details": json.loads(report.with_name("details.json").read_text())}


@pytest.mark.soak
def test_a_draft_is_rehearsed_as_it_is(stack: Stack, folder: Path, recording: Path) -> None:
    file = str(folder / "traffic.py")
    drafts = {
        "moves.txt": ("--openapi", str(ROOT / "monolith/openapi.yaml")),
        "back.txt": ("--recording", str(recording), "--force"),
    }
    for script, source in drafts.items():
        draft = stack.json("traffic", "draft", *source, "--to", file)
        assert draft["scenario"] == "traffic:Traffic"
        assert {"users_user", "users_address", "products_product", "orders_order"} <= {
            table for each in draft["requests"] for table in each["tables"]
        }
        assert not SECRETS.search(Path(file).read_text())

        report = rehearsed(stack, folder, script)

        assert report["ok"], report["details"]
        assert (report["failed"], report["lost"], report["doubled"]) == (0, 0, 0)

    log = folder / "state" / "log" / "access.log"
    seen = stack.json("traffic", "draft", "--log", str(log), *drafts["moves.txt"], "--to", file, "--force")
    # What came through the gateway was the same, with the deletions of the second rehearsal.
    asked = {each["request"] for each in seen["requests"]}
    assert {"POST /api/v1/users", "POST /api/v1/users/me/addresses", "GET /api/v1/orders/{id}"} <= asked
    assert any("DELETE /api/v1/users/me" in question for question in seen["questions"])

    report = rehearsed(stack, folder, "back.txt")

    assert report["ok"], report["details"]
    assert (report["failed"], report["lost"], report["doubled"]) == (0, 0, 0)


@pytest.mark.soak
def test_a_log_alone_leaves_its_bodies_to_a_person_and_a_rehearsal_waits_for_them(stack: Stack, folder: Path) -> None:
    """What is written in their place is what a person would write who knows the shop."""
    log, file = folder / "state" / "log" / "access.log", folder / "traffic.py"
    with stack.client() as client:
        for number in range(3):
            body = {"email": f"log-{number}@example.com", "password": "a-long-Passphrase-1", "full_name": "Log"}
            assert client.post("/api/v1/users", json=body).status_code == 201
        assert client.get("/api/v1/products").status_code == 200
    seen = stack.json("traffic", "draft", "--log", str(log), "--to", str(file), "--force")
    names = {each.partition(":")[0]: each for each in seen["decisions"]}
    assert "which body does POST /api/v1/users take?" in names["SEND_USERS_BODY"]

    refused = stack.run("rehearse", "--script", str(folder / "back.txt"), code=2, SHOP_TOKEN="Bearer none")

    text = file.read_text()
    for name in names:
        line = next(n for n, each in enumerate(text.splitlines(), 1) if each.startswith(f"{name} = undecided("))
        assert f"{name} (line {line})" in refused.stderr
    assert stack.status("users")["owner"] == "monolith"
