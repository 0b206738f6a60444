"""Wheel and sdist of the tool and the chassis, as an index gets them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.pipeline.steps import MADE, ROOT, StepError, Target, Told, module, read, version

PACKAGES = {"strangler": "strangler", "chassis": "strangler_chassis"}
UV = str(Path(sys.executable).with_name("uv"))
LEFT_OUT = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*")
DIST = MADE / "dist"
INSTALLED = "shared/strangler/tests/test_installed.py"


def build(target: Target, told: Told) -> None:
    """Builds both packages into var/pipeline/dist; of the version that the release's tag says, if there is one."""
    del target
    for name in PACKAGES:
        if told.release and told.release != f"v{version(name)}":
            raise StepError(f"the tag is {told.release}, shared/{name}/pyproject.toml says {version(name)}: mend one")
    shutil.rmtree(DIST, ignore_errors=True)
    for path in built(DIST):
        print(path.relative_to(ROOT))


def built(folder: Path) -> list[Path]:
    """The sdists of both packages, and wheels that were built from these sdists."""
    for name in PACKAGES:
        with tempfile.TemporaryDirectory() as temporary:
            # A copy, for setuptools leaves its build in the source; with the licence, which has to come along.
            source = Path(temporary) / name
            shutil.copytree(ROOT / "shared" / name, source, ignore=LEFT_OUT)
            shutil.copy(ROOT / "LICENSE", source)
            words = ["--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
            read(UV, "build", *words, "--out-dir", str(folder), str(source))
    found = sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])
    if len(found) != 2 * len(PACKAGES):
        raise StepError(
            f"{folder} has {', '.join(path.name for path in found) or 'nothing'}: empty it, and build again"
        )
    return found


def install(target: Target, told: Told) -> None:
    """Installs what was built into empty environments, and works with it there."""
    del target, told
    if not DIST.is_dir():
        raise StepError("nothing is built: run the step `build` first")
    os.environ["BUILT_PACKAGES"] = str(DIST)
    module("pytest", "-q", "--rootdir", "shared/strangler", "-c", "shared/strangler/pyproject.toml", INSTALLED)
