"""A port is its own contract: people who call it, or write another adapter, read nothing else."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import pytest
from strangler import ports
from strangler.rehearsal import ports as rehearsal


def protocols() -> list[type]:
    """Every port of the tool and of a rehearsal."""
    modules = [import_module(f"strangler.ports.{each.name}") for each in iter_modules(ports.__path__)]
    return [each for module in (*modules, rehearsal) for each in vars(module).values() if is_port(each, module)]


def is_port(found: object, module: ModuleType) -> bool:
    """Whether the module itself defines this port; an imported one does not count."""
    return inspect.isclass(found) and getattr(found, "_is_protocol", False) and found.__module__ == module.__name__


def methods(port: type) -> dict[str, Any]:
    return {
        name: each.fget if isinstance(each, property) else each
        for name, each in vars(port).items()
        if not name.startswith("_") and (isinstance(each, property) or inspect.isfunction(each))
    }


@pytest.mark.parametrize("port", protocols(), ids=lambda port: port.__name__)
def test_every_method_says_what_it_promises(port: type) -> None:
    promised = methods(port)

    assert promised
    assert port.__doc__
    assert [name for name, each in promised.items() if not each.__doc__] == []
