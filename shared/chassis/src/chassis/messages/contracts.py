"""What the data of each type of message look like: one JSON Schema per type, checked where tests ask for it.

The schemas are files, ``<type>.json``, so that both ends of a queue test against the same.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from chassis import settings


class ContractError(ValueError):
    """The data are not what the type's schema says, or there is no schema; ``type`` is the message's."""

    def __init__(self, type: str, problem: str) -> None:
        super().__init__(f"{type}: {problem}")
        self.type = type


def check(type: str, data: Any) -> None:
    """Raises ``ContractError`` unless the data, as they travel, fit the type's schema.

    Checks nothing unless ``CHASSIS_VALIDATE`` is true and ``CHASSIS_CONTRACTS`` names a folder.
    """
    folder = settings.contracts()
    if folder is None or not settings.validate():
        return
    travelled = json.loads(json.dumps(data, cls=DjangoJSONEncoder))
    errors = sorted(_validator(folder, type).iter_errors(travelled), key=lambda error: error.json_path)
    if errors:
        raise ContractError(type, "; ".join(f"{error.json_path}: {error.message}" for error in errors[:5]))


@lru_cache(maxsize=256)
def _validator(folder: Path, type: str) -> Any:
    path = folder / f"{type}.json"
    if not path.is_file():
        raise ContractError(type, f"no contract {path.name} in {folder}: write one, or mend the type's name")
    # Only the checks need this library, so only processes that check have it installed.
    validators = import_module("jsonschema.validators")
    schema = json.loads(path.read_text())
    chosen = validators.validator_for(schema, default=validators.Draft202012Validator)
    chosen.check_schema(schema)
    return chosen(schema, format_checker=chosen.FORMAT_CHECKER)
