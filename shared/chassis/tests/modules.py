"""Modules that a test writes, as a project has them, and what reading them finds."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from chassis.inspection import entries
from chassis.inspection.reading import Arguments, Reader
from chassis.inspection.values import Request

HEAD = """
from __future__ import annotations
import functools
from typing import TYPE_CHECKING, Any, cast
from django.apps import apps
from django.contrib.auth import authenticate, get_user_model, login
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.db.models import F, Q, QuerySet
from django.forms import ModelForm, modelform_factory
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.views.generic import CreateView, DeleteView, DetailView
from chassis.ownership import owners
from chassis.ownership.owners import is_open
from library.models import Book, Visit
from rest_framework import generics, serializers
from ties.models import Donor, Fine, Locker, Member, Patron, Receipt, Remark
"""
_number = itertools.count()


@dataclass(frozen=True)
class Writer:
    """Writes a module, and gives it as a project has it."""

    folder: Path
    patch: pytest.MonkeyPatch

    def __call__(self, source: str, *, folder: str = "") -> ModuleType:
        name = f"written_{next(_number)}"
        file = self.folder / folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(HEAD + textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        self.patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module


def tables(reader: Reader, thing: object, method: str | None = None) -> set[str]:
    summary = (
        entries.view(reader, thing, method)
        if method
        else entries.function(reader, thing, Arguments(((Request(),),)) if method is None else Arguments())
    )
    return {write.table for write in summary.writes}
