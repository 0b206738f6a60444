"""What `make cluster-check` says when no server can be asked. With a server it is run by hand."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.manifests.cluster import said
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


def refused_patch(kind: str, name: str, reason: str) -> str:
    """How kubectl tells of a resource that the server does not change, in six lines."""
    return (
        "Error from server (Invalid): error when applying patch:\n"
        '{"metadata":{"annotations":{"a":"{\\"b\\":1}"}}}\nto:\n'
        f'Resource: "batch/v1, Resource=jobs", GroupVersionKind: "batch/v1, Kind=Job"\n'
        f'Name: "{name}", Namespace: "shop"\n'
        f'for: "STDIN": error when patching "STDIN": {kind} "{name}" is invalid: {reason}\n'
    )


VALUE = '{"labels":{"app":"a: b"},"spec":{"containers":[{"image":"users:0.1.0","args":["x: y"]}]}}'


def test_each_refused_resource_is_one_problem_whatever_kubectl_prints() -> None:
    immutable = f"spec.template: Invalid value: {VALUE}: field is immutable"
    text = (
        "Warning: would violate PodSecurity: seccompProfile\n"
        + refused_patch("Job.batch", "users-migrate-0.1.0", immutable)
        + refused_patch("Service", "users", f"spec.ports: Invalid value: {VALUE}: must be unique")
        + 'The Deployment "orders" is invalid: \n* spec.replicas: Required value\n* spec.selector: Required value\n'
        + 'Error from server (NotFound): error when creating "STDIN": namespaces "elsewhere" not found\n'
        + 'error: unable to recognize "STDIN": no matches for kind "Certificate" in version "cert-manager.io/v1"\n'
    )

    assert said(text) == [
        "Warning: would violate PodSecurity: seccompProfile",
        "Job users-migrate-0.1.0 of this tag has run already, and cannot change: delete it first, or give a new tag",
        'for: "STDIN": error when patching "STDIN": Service "users" is invalid: '
        "spec.ports: Invalid value: must be unique",
        'The Deployment "orders" is invalid:  * spec.replicas: Required value * spec.selector: Required value',
        'Error from server (NotFound): error when creating "STDIN": namespaces "elsewhere" not found',
        'error: unable to recognize "STDIN": no matches for kind "Certificate" in version "cert-manager.io/v1"',
    ]
