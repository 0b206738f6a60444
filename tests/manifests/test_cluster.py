"""What `make cluster-check` says when no server can be asked. With a server it is run by hand."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.manifests.kustomize import K8S, ROOT


def ask(*arguments: object, kubeconfig: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.manifests.cluster", *map(str, arguments)],
        cwd=ROOT,
        env={"KUBECONFIG": str(kubeconfig), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A context whose server does not answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"https://127.0.0.1:{taken.getsockname()[1]}"
        configuration = tmp_path / "config"
        configuration.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "any", "cluster": {"server": address}}],
                    "contexts": [{"name": "any", "context": {"cluster": "any", "user": "any"}}],
                    "users": [{"name": "any", "user": {}}],
                    "current-context": "any",
                }
            )
        )
        yield configuration


def test_a_cluster_that_does_not_answer_is_no_finding_about_the_manifests(nobody: Path) -> None:
    done = ask(K8S / "overlays" / "production", kubeconfig=nobody)

    assert done.returncode == 2
    assert "no cluster answers" in done.stderr
    assert "kubectl config current-context" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_a_kustomization_is_named(nobody: Path) -> None:
    done = ask(K8S / "nothing", kubeconfig=nobody)

    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing: no kustomization is there; name a folder such as k8s/overlays/production" in done.stderr


def test_an_unknown_context_is_named(nobody: Path) -> None:
    done = ask("--context", "elsewhere", K8S / "overlays" / "production", kubeconfig=nobody)

    assert done.returncode == 2
    assert "elsewhere" in done.stderr
