"""Writes the schemas of the custom resources that the components use, from the files that a project publishes.

python -m tests.manifests.crds --repository cert-manager/cert-manager --version v1.21.1 --licence Apache-2.0 \\
    --root FOLDER deploy/crds [FILE…]

FOLDER is the project's tree at that version, below which the paths are. Lines with a template's braces are skipped.
Kinds that no kustomization of this repository has are skipped, too; so write the component first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.crds import file_of
from tests.manifests.crds.reduction import NotPublished, reduced
from tests.manifests.kustomize import APART, APPLIED, COMBINATIONS, BuildError, Resource, built


def main(arguments: Sequence[str]) -> int:
    """Writes a file per kind and version; 2 if a path, a version or a kustomization is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.manifests.crds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repository", required=True, metavar="OWNER/NAME")
    parser.add_argument("--version", required=True, help="the release")
    parser.add_argument("--licence", required=True, help="SPDX identifier")
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder with YAML files")
    options = parser.parse_args(arguments)
    try:
        written = list(_written(options))
    except (BuildError, NotPublished, OSError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 2
    for line in written:
        print(line)
    print(f"{len(written)} kinds of {options.repository} {options.version}")
    return 0


def _written(options: argparse.Namespace) -> Iterator[str]:
    for path, definition in _definitions(options.root, options.paths):
        group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"]
        own = [each for each in _used() if each["kind"] == kind and each["apiVersion"].startswith(f"{group}/")]
        for api_version in sorted({each["apiVersion"] for each in own}):
            resources = [each for each in own if each["apiVersion"] == api_version]
            schema = reduced(definition, api_version.rpartition("/")[2], resources)
            source = {
                "repository": options.repository,
                "version": options.version,
                "path": path,
                "licence": options.licence,
            }
            content = {"source": source, "scope": definition["spec"]["scope"], "schema": schema}
            file = file_of(api_version, kind)
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            yield f"{file.name}: {file.stat().st_size:,} bytes, used {len(resources)} times"


def _used() -> list[Resource]:
    return [each for folder in ("base", *APPLIED, *COMBINATIONS, *APART) for each in built(folder)]


def _definitions(root: Path, paths: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in paths:
        place = root / path
        for file in sorted(place.rglob("*.yaml")) if place.is_dir() else [place]:
            lines = [line for line in file.read_text().splitlines() if "{{" not in line]
            for document in yaml.load_all("\n".join(lines), yaml.CSafeLoader):
                if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition":
                    yield str(file.relative_to(root)), document


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
