"""Which addresses have to be known before a stack is up."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import project
from strangler.domain.address import Address
from strangler.domain.errors import StackError
from strangler.domain.project import Database
from strangler.stack import state


def database(name: str, url: str | None = None, variable: str | None = None) -> Database:
    known = Address(url) if url else None
    return Database(
        name=name,
        embedded=known is None,
        url=known,
        replication_url=known,
        app_url=None,
        outbox=None,
        variable=variable,
    )


def test_only_the_databases_that_are_asked_have_to_be_known(tmp_path: Path) -> None:
    databases = [
        database("yard", "postgresql://one/yard"),
        database("depot", "postgresql://two/depot"),
        database("dock"),
    ]
    made = project(tmp_path, databases={each.name: each for each in databases})

    found = state.endpoints_of_databases(made, {"yard", "depot"})

    assert found.databases["depot"] == "postgresql://two/depot"
    with pytest.raises(StackError, match="the stack is not up"):
        state.endpoints_of_databases(made, {"yard", "dock"})


def test_the_variables_that_would_name_them_are_told(tmp_path: Path) -> None:
    databases = {"yard": database("yard", "postgresql://one/yard"), "dock": database("dock", variable="DOCK_URL")}

    with pytest.raises(StackError) as told:
        state.endpoints_of_databases(project(tmp_path, databases=databases), {"yard", "dock"})

    assert "or set DOCK_URL to the addresses" in told.value.remedy
