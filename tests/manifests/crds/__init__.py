"""Custom resources, compared with what their projects publish as CustomResourceDefinitions.

`schemas/` has one file per kind that a component uses, written by ``python -m tests.manifests.crds``: names of fields,
types, bounds, and the source. What the API server computes from a definition's rules (CEL) is not compared here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError

Resource = Mapping[str, Any]
SCHEMAS = Path(__file__).with_name("schemas")
MAKE = "python -m tests.manifests.crds --help says how to write it"
# As Go writes them: 1h30m, 1.5s.
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+|0")
_BITS = {"int32": 31, "int64": 63}

formats = FormatChecker(formats=())


@formats.checks("duration")
def _is_duration(value: object) -> bool:
    return not isinstance(value, str) or _DURATION.fullmatch(value) is not None


@formats.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2 ** _BITS["int32"]) <= value < 2 ** _BITS["int32"]


@formats.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2 ** _BITS["int64"]) <= value < 2 ** _BITS["int64"]


def file_of(api_version: str, kind: str) -> Path:
    """Where the schema of a kind is, if it is there."""
    return SCHEMAS / f"{api_version.replace('/', '_')}_{kind}.json"


def is_custom(resource: Resource) -> bool:
    """Whether a project publishes the kind, and not Kubernetes; some have a group of Kubernetes all the same."""
    group = resource["apiVersion"].rpartition("/")[0]
    known = file_of(resource["apiVersion"], resource["kind"]).exists()
    return known or ("." in group and not group.endswith(".k8s.io"))


def problems(resource: Resource) -> Iterator[str]:
    """What the API would refuse, and a kind that nothing is known of."""
    file = file_of(resource["apiVersion"], resource["kind"])
    if not file.exists():
        yield f"{resource['apiVersion']}: no schema in tests/manifests/crds/schemas: {MAKE}"
        return
    published = json.loads(file.read_text())
    if published["scope"] == "Cluster" and "namespace" in resource["metadata"]:
        yield "metadata.namespace: kinds of this sort have none; kustomize adds one to what it does not know"
    yield from compared(resource, published["schema"])


def compared(resource: Resource, schema: Mapping[str, Any]) -> Iterator[str]:
    """Each place in a resource that differs from a schema."""
    for error in Draft202012Validator(schema, format_checker=formats).iter_errors(resource):
        yield f"{'.'.join(map(str, error.path))}: {_said(error)}"


def _said(error: ValidationError) -> str:
    if error.schema is False:
        return f"left out of the schema, because it is large and nobody used it: {MAKE}"
    return str(error.message)
