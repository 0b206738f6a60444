"""Each package of the chassis says what it is for, and names what others may use of it."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module

import chassis
import pytest

PACKAGES = [
    module.name
    for module in pkgutil.iter_modules(chassis.__path__)
    if module.ispkg and module.name not in ("management", "migrations")
]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_names_what_it_has(name: str) -> None:
    told = import_module(f"chassis.{name}").__doc__ or ""
    public = re.findall(r"`([\w.]+)`", told.partition("Public:")[2])

    assert public, "it says nothing of what is public"
    for each in public:
        module, *attributes = each.split(".")
        found = import_module(f"chassis.{name}.{module}")
        for attribute in attributes:
            assert hasattr(found, attribute), each
