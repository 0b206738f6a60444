"""Most rules hold for whatever can be built."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

import pytest

from tests.manifests.kustomize import APPLIED, COMBINATIONS, ROOT
from tests.stack import STRANGLER


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "folder" in metafunc.fixturenames:
        metafunc.parametrize("folder", (*APPLIED, *COMBINATIONS))


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """The Secrets that the tool makes: the value of each key of each."""
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([STRANGLER, "secrets", "--to", folder], cwd=ROOT, check=True, capture_output=True)
    return {each.name: {key.name: key.read_text() for key in each.iterdir()} for each in folder.iterdir()}
