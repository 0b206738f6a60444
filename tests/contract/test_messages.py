"""The sender of a message and its receiver check it against the same schema, on every side."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).parents[2]
MONOLITH = ROOT / "monolith/contracts"
OTHERS = sorted((ROOT / "services").glob("*/contracts/*.json"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*sorted(MONOLITH.glob("*.json")), *OTHERS], ids=_name)
def test_a_contract_is_a_schema(path):
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("path", OTHERS, ids=_name)
def test_the_monolith_has_the_same(path):
    assert json.loads(path.read_text()) == json.loads((MONOLITH / path.name).read_text())
