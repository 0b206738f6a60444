"""No request that Schemathesis can think of gets an error of the server, or an answer that no document promises.

Each process is asked for what its own OpenAPI document says, and the gateway, after the move, for what the monolith's
says. Requests are valid ones, ones that break the document in one place, and sequences in which the answer to one gives
the values of the next. Every day few are sent, always the same; `make soak` sends many times as many, others each time.

What is looked at is listed in ``schemathesis.toml``, with what is not and why.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.contract import people
from tests.contract.people import Account, fresh_email, sign_up
from tests.contract.purchases import place
from tests.contract.sides import CAPABILITIES, Shop
from tests.fuzz import identities
from tests.fuzz.identities import EMAIL, ORDERS, PRODUCTS, REFRESH, TOKEN, USERS
from tests.stack import ROOT, Stack

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
PROCESSES = ("monolith", *CAPABILITIES, "gateway")
# Ends the caller's account, so it is asked for by an account of its own.
DELETION, DELETED = "users_me_destroy", "delete /api/v1/users/me"
# Services call each other at another address; and the gateway answers 400 to a method that it does not know, such as
# QUERY, before it looks for a route.
OF_A_GATEWAY = ("--exclude-path-regex", "^/internal", "--exclude-checks", "unsupported_method")
EXAMPLES = 12
EXHAUSTIVE_EXAMPLES = 200


@dataclass(frozen=True)
class Fuzzed:
    """A stack, and those who ask it."""

    stack: Stack
    staff: Account

    def identities(self) -> Mapping[str, str]:
        """What the configuration and the hooks want to know; tokens are new, for a run may take minutes."""
        with self.stack.client() as api:
            renewed = api.post("/api/v1/auth/refresh", json={"refresh": self.staff.refresh})
            assert renewed.status_code == 200, renewed.text
            customer = sign_up(api, fresh_email())
            products = api.get("/api/v1/products").json()["results"]
            ordered = place(api, self.staff, (products[0], 1))
            assert ordered.json()["status"] == "confirmed", ordered.text
        return {
            TOKEN: renewed.json()["access"],
            EMAIL: customer.email,
            REFRESH: customer.refresh,
            PRODUCTS: ",".join(str(each["id"]) for each in products),
            ORDERS: str(ordered.json()["id"]),
            USERS: str(self.staff.id),
            **identities.of_orders(self.stack.folder / "secrets"),
        }

    def customer(self) -> str:
        """The token of somebody who has just registered."""
        with self.stack.client() as api:
            return sign_up(api, fresh_email()).access

    def address(self, process: str) -> str:
        environment = self.stack.environment()
        found: str = environment["gateway"] if process == "gateway" else environment["addresses"][process]
        return found


@pytest.fixture(scope="session")
def before(stack: Stack) -> Fuzzed:
    """The monolith owns everything."""
    with stack.client() as api:
        return Fuzzed(stack, people.staff(api))


@pytest.fixture(scope="session")
def after(before: Fuzzed) -> Fuzzed:
    """The services own everything."""
    shop = Shop(before.stack)
    shop.start()
    shop.switch(*CAPABILITIES)
    return before


@pytest.fixture
def fuzzed(process: str, request: pytest.FixtureRequest) -> Fuzzed:
    found: Fuzzed = request.getfixturevalue("before" if process == "monolith" else "after")
    return found


def run(process: str, address: str, folder: Path, known: Mapping[str, str], *options: str) -> Path:
    """Schemathesis's record of all requests; fails where it found anything, with what it says of it."""
    requests = folder / "requests.har"
    done = subprocess.run(
        [
            *(SCHEMATHESIS, "--config-file", str(CONFIGURATION), "run", str(document(process)), "--no-color"),
            *("--report", "har", "--report-har-path", str(requests), *options),
        ],
        cwd=folder,  # it writes what it has learnt
        env={**os.environ, **known, "FUZZED": address, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return requests


def document(process: str) -> Path:
    """What the process promises; the gateway promises what the monolith does."""
    return ROOT / (f"services/{process}" if process in CAPABILITIES else "monolith") / "openapi.yaml"


def never_done(document: Path, requests: Path) -> set[str]:
    """The operations none of whose requests did what it asks for, so that little of them was looked at."""
    operations = {
        f"{method} {path}": re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
        for path, methods in yaml.safe_load(document.read_text())["paths"].items()
        for method in methods
    }
    done = {
        (entry["request"]["method"].lower(), urlsplit(entry["request"]["url"]).path)
        for entry in json.loads(requests.read_text())["log"]["entries"]
        if entry["response"]["status"] < 300
    }
    return {
        operation
        for operation, pattern in operations.items()
        if not any(operation.startswith(f"{method} ") and pattern.fullmatch(path) for method, path in done)
    }


def fuzz(process: str, fuzzed: Fuzzed, folder: Path, *more: str) -> None:
    """All operations of a process."""
    options = ("--exclude-operation-id", DELETION, *more, *(OF_A_GATEWAY if process == "gateway" else ()))
    requests = run(process, fuzzed.address(process), folder, fuzzed.identities(), *options)
    undone = never_done(document(process), requests) - {DELETED}
    assert {each for each in undone if process != "gateway" or " /internal" not in each} == set()


@pytest.mark.parametrize("process", PROCESSES)
def test_no_answer_is_an_error_or_undocumented(process, fuzzed, tmp_path):
    fuzz(process, fuzzed, tmp_path, "--max-examples", str(EXAMPLES), "--generation-deterministic")


@pytest.mark.parametrize("process", ["monolith", "users"])
def test_an_account_that_ends_itself_is_answered_as_documented(process, fuzzed, tmp_path):
    known = {**fuzzed.identities(), TOKEN: fuzzed.customer()}
    only = ("--include-operation-id", DELETION, "--generation-deterministic")

    requests = run(process, fuzzed.address(process), tmp_path, known, *only)
    assert DELETED not in never_done(document(process), requests)


@pytest.mark.soak
@pytest.mark.parametrize("process", PROCESSES)
def test_none_of_many_more_is_an_error_or_undocumented(process, fuzzed, tmp_path):
    fuzz(process, fuzzed, tmp_path, "--max-examples", str(EXHAUSTIVE_EXAMPLES))
