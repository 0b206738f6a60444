"""The parts of the chassis that a move needs, with each version of Django, and without anything that they do not need.

Each version has an environment of its own, which is made from a file with hashes. Where a version cannot be had, its
test is skipped, and says why.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
UV = str(Path(sys.executable).with_name("uv"))
SOURCES = os.pathsep.join([*(str(ROOT / "shared" / name / "src") for name in ("chassis", "strangler")), str(ROOT)])
SECONDS = 300
# The oldest Python of each. With other packages, only what concerns those is tested.
OLDEST = {
    **{"4.2": (3, 11), "5.2": (3, 11), "5.2-packages": (3, 11), "6.0": (3, 12)},
    **{"4.2-tracing": (3, 11), "5.2-tracing": (3, 11), "6.0-tracing": (3, 12)},
}
ONLY = {"packages": ("-k", "failed_logins"), "tracing": ("-k", "spans")}

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="DATABASE_URL names no PostgreSQL")


@pytest.mark.parametrize("version", OLDEST)
def test_a_small_project_can_be_taken_apart_with_this_version(version: str, tmp_path: Path) -> None:
    python = environment(version, tmp_path / "venv")

    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}

    done = subprocess.run(
        [python, "-m", "pytest", "-q", "each_version.py", *ONLY.get(version.partition("-")[2], ())],
        cwd=HERE / "project",
        env={**environ, "PYTHONPATH": SOURCES, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def environment(version: str, folder: Path) -> str:
    """Installs what the file of this version names; returns its interpreter."""
    base = next(interpreters(OLDEST[version]), None)
    if base is None:
        pytest.skip(f"Django {version} needs Python {'.'.join(map(str, OLDEST[version]))}, which is not installed")
    python = folder / "bin" / "python"
    run(UV, "venv", "--quiet", "--no-python-downloads", "--python", base, str(folder))
    pins = str(HERE / "requirements" / f"{version}.txt")
    installed = run(UV, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", pins, check=False)
    if installed.returncode:
        pytest.skip(f"Django {version} cannot be installed: {installed.stderr.strip().splitlines()[-1:]}")
    return str(python)


def interpreters(oldest: tuple[int, int]) -> Iterator[str]:
    """Those of at least this version: the one that runs, those on the path, and pyenv's."""
    if sys.version_info >= oldest:
        yield sys.executable
    wanted = f">={'.'.join(map(str, oldest))}"
    found = run(UV, "python", "find", "--no-python-downloads", "--no-project", "--system", wanted, check=False)
    if found.returncode == 0:
        yield found.stdout.strip()
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for python in sorted(versions.glob("3.*/bin/python"), key=_number):
        if _number(python) >= oldest:
            yield str(python)


def _number(python: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in python.parents[1].name.split(".")[:2] if part.isdecimal())


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=check)
