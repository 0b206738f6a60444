"""The steps of a pipeline, each a function, and what a step is told.

Each pipeline (this machine, GitHub Actions, GitLab CI, Jenkins) runs these and no others, so they cannot drift. A step
that needs what is not there raises SkippedError. On a person's machine that is told and passed over; where the
environment has ``CI``, it is a failure, for nobody would read it there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "var" / "pipeline"


class SkippedError(Exception):
    """The step cannot run here; the text says what is missing."""


class StepError(Exception):
    """The step has found something; the text says what, and what to do."""


@dataclass(frozen=True)
class Target:
    """What is delivered: a Django project or the tool as an image, or the packages of the index."""

    name: str
    folder: str
    suites: Sequence[str]
    contracts: bool = False

    @property
    def watched(self) -> list[str]:
        """What a change has to be in for the target's pipeline to run; as patterns of paths."""
        shared = [] if self.folder.startswith("shared") else ["shared/chassis/**", "shared/ready"]
        contracts = ["monolith/contracts/**", "services/*/contracts/**"] if self.contracts else ["strangler.toml"]
        # Of the two targets below shared/, each has to do with all of it.
        folder = "shared" if self.folder.startswith("shared") else self.folder
        return [f"{folder}/**", *shared, *contracts, "requirements/**", "tests/pipeline/**"]


TARGETS: Mapping[str, Target] = {
    each.name: each
    for each in (
        Target("monolith", "monolith", ["monolith"], contracts=True),
        Target("users", "services/users", ["users"], contracts=True),
        Target("products", "services/products", ["products"], contracts=True),
        Target("orders", "services/orders", ["orders"], contracts=True),
        Target("storefront", "services/storefront", ["storefront"], contracts=True),
        Target("strangler", "shared/strangler", ["strangler"]),
        Target("packages", "shared", ["strangler", "chassis"]),
    )
}


@dataclass(frozen=True)
class Told:
    """What the environment says of a run; each is empty where it says nothing.

    ``PIPELINE_REGISTRY``: where images are pushed to; without one they stay on this machine. ``PIPELINE_BASE``: the
    commit that others run. ``PIPELINE_OVERLAY``: the overlay whose manifest is bumped. ``PIPELINE_RELEASE``: the tag
    that packages are released by.
    """

    registry: str
    base: str
    overlay: str
    release: str
    ci: bool

    @classmethod
    def by(cls, environment: Mapping[str, str]) -> Told:
        overlay = environment.get("PIPELINE_OVERLAY") or "staging"
        registry = environment.get("PIPELINE_REGISTRY", "").rstrip("/").lower()
        release = environment.get("PIPELINE_RELEASE", "")
        return cls(registry, environment.get("PIPELINE_BASE", ""), overlay, release, bool(environment.get("CI")))


def run(*command: str, why: str = "") -> None:
    """Runs a program in the checkout, with its output shown. Raises StepError."""
    print(f"$ {' '.join(command)}", flush=True)
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise StepError(why or f"{Path(command[0]).name} ended with {done.returncode}")


def read(*command: str) -> str:
    """What a program says. Raises StepError with what it complains of."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"{' '.join(command[:3])}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def module(*words: str) -> None:
    """Runs a module of this environment. Raises StepError."""
    run(sys.executable, "-m", *words)


def version(package: str) -> str:
    """Of the tool or the chassis."""
    with (ROOT / "shared" / package / "pyproject.toml").open("rb") as file:
        found: str = tomllib.load(file)["project"]["version"]
    return found


@cache
def tag() -> str:
    """Of an image: the version and the commit, ``-dirty`` where the checkout has what no commit has. It may be part of
    a Job's name: lower-case letters, digits, `.` and `-`."""
    dirty = "-dirty" if read("git", "status", "--porcelain") else ""
    made = f"{version('strangler')}-{read('git', 'rev-parse', '--short=12', 'HEAD')}{dirty}".lower()
    assert re.fullmatch(r"[a-z0-9.-]+", made), made
    return made


def reference(target: Target, told: Told) -> str:
    """The image's name and tag."""
    return f"{told.registry or 'strangler'}/{target.name}:{tag()}"


def check(target: Target, told: Told) -> None:
    """The contract gate, then all that can be said of the code without running it."""
    if target.contracts:
        against = ["--against", told.base] if told.base else []
        module("tests.pipeline.gate", target.name, *against)
    module("tests.checks")


def test(target: Target, told: Told) -> None:
    """The target's own suites, and that all copies of its contracts are the same."""
    del told
    for suite in target.suites:
        module("tests.suites", suite)
    if target.contracts:
        module("pytest", "-q", "tests/contract/test_messages.py", "tests/contract/test_openapi.py")


def environment() -> Told:
    """What this process is told."""
    return Told.by(os.environ)
