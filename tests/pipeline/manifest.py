"""The line of an overlay that says which image a cluster runs."""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.kustomize import K8S, Resource, build
from tests.pipeline.steps import SkippedError, StepError, Target, Told, tag

# An entry of `images:`, with all lines that belong to it.
ENTRY = r"^(?P<indent> *)- name: strangler/{name}\n(?:(?P=indent)  .*\n)*"

# What a Job may be called: its name becomes a label's value.
JOB = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


def overlays() -> list[str]:
    """The names of those that could be bumped."""
    return sorted(path.parent.name for path in (K8S / "overlays").glob("*/kustomization.yaml"))


def bump(target: Target, told: Told, *, write: bool = False) -> None:
    """Shows the change of the overlay that deploys this commit, after the manifests have been built with it.

    ``write`` also makes it; a pipeline then commits it. Only the images and the names of Jobs may change by it.
    """
    path = K8S / "overlays" / told.overlay / "kustomization.yaml"
    before = path.read_text()
    after = bumped(before, target.name, tag(), f"{told.registry}/{target.name}" if told.registry else "")
    name = str(path.relative_to(K8S.parent))
    shown = list(difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=1))
    if not shown:
        print(f"{name} has this image already")
        return
    touched = changed(told.overlay, after)
    print("\n".join(shown))
    print(f"built with it: {', '.join(touched)} change, and nothing else does")
    if write:
        if tag().endswith("-dirty"):
            raise SkippedError("commit first: no registry has the image of what is not committed")
        path.write_text(after)


def bumped(text: str, name: str, new_tag: str, new_name: str = "") -> str:
    """The kustomization with the image of ``name`` set, all else as it was. Raises StepError."""
    found = re.search(ENTRY.format(name=re.escape(name)), text, re.MULTILINE)
    if found is None:
        raise StepError(f"the overlay's images: has no entry strangler/{name}: add one")
    entry, indent = found.group(), f"{found['indent']}  "
    kept = yaml.safe_load(entry)[0]
    wanted = {"name": kept["name"], "newName": new_name or kept.get("newName"), "newTag": new_tag}
    lines = [
        f"{found['indent']}- name: {wanted['name']}",
        *(f"{indent}{key}: {wanted[key]}" for key in ("newName", "newTag") if wanted[key]),
    ]
    return text[: found.start()] + "\n".join(lines) + "\n" + text[found.end() :]


def changed(overlay: str, after: str) -> list[str]:
    """The resources that change, built from a copy. Raises StepError where more than images and Jobs' names does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "k8s"
        shutil.copytree(K8S, copy)
        (copy / "overlays" / overlay / "kustomization.yaml").write_text(after)
        old, new = (list(_plain(build(root / "overlays" / overlay))) for root in (K8S, copy))
    if [each[1] for each in old] != [each[1] for each in new]:
        raise StepError("more than images and names of Jobs would change: look at the overlay's images:")
    for kind, _, name in (each[0].partition(" ") for each in new):
        if kind == "Job" and not JOB.fullmatch(name):
            raise StepError(f"the Job would be called {name}, which is no name: see k8s/transformers/README.md")
    return sorted({one[0] for one, other in zip(old, new, strict=True) if one[2] != other[2]})


def _plain(resources: list[Resource]) -> Iterator[tuple[str, Any, Any]]:
    """Each with its name, without images and Jobs' names, and as it is; in an order that Jobs' names do not change."""
    for each in sorted(resources, key=lambda each: (each["kind"], each["metadata"]["name"])):
        text = yaml.dump(each)
        bare = re.sub(r"(?m)^( *-? *image: ).*$", r"\1", text)
        if each["kind"] == "Job":
            bare = bare.replace(each["metadata"]["name"], "")
        yield f"{each['kind']} {each['metadata']['name']}", bare, text
