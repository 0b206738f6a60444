"""Whether the manifests are what the API takes: each field known, and of the right form.

python -m tests.manifests.schemas    the newest and the oldest Kubernetes that is supported
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping

from kubernetes_validate import SchemaNotFoundError, ValidationError, validate

from tests.manifests import crds
from tests.manifests.kustomize import APART, APPLIED, COMBINATIONS, BuildError, Resource, built

SUPPORTED = ("1.34", "1.37")


def problems(resource: Resource) -> Iterator[str]:
    """What each supported version would refuse, and what none of them knows."""
    if crds.is_custom(resource):
        yield from crds.problems(resource)
        return
    for version in SUPPORTED:
        try:
            validate(resource, version, strict=True)
        except ValidationError as error:
            yield f"{version}: {'.'.join(map(str, error.path))}: {error.message}"
        except SchemaNotFoundError as error:
            yield f"{version}: {error.message}"


def main() -> int:
    """Builds all and says what is wrong; a resource that several hold is looked at once."""
    found, seen = 0, set[str]()
    for folder in ("base", *APPLIED, *COMBINATIONS, *APART):
        try:
            resources = built(folder)
        except BuildError as error:
            print(error)
            found += 1
            continue
        for resource in resources:
            text = json.dumps(resource, sort_keys=True)
            if text not in seen:
                seen.add(text)
                found += _tell(folder, resource)
    print(f"{len(seen)} resources, Kubernetes {' and '.join(SUPPORTED)}: {found or 'no'} problems")
    return 1 if found else 0


def _tell(folder: str, resource: Mapping[str, object]) -> int:
    said = list(problems(dict(resource)))
    for problem in said:
        print(f"{folder}: {resource['kind']} {resource['metadata']['name']}: {problem}")  # type: ignore[index]
    return len(said)


if __name__ == "__main__":
    sys.exit(main())
