"""Most rules hold for whatever can be built."""

from __future__ import annotations

import pytest

from tests.manifests.kustomize import APPLIED, COMBINATIONS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "folder" in metafunc.fixturenames:
        metafunc.parametrize("folder", (*APPLIED, *COMBINATIONS))
