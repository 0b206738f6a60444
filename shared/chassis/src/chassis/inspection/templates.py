"""Templates: the tags and filters that they may use, and the relations to what moves that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.template.base import Lexer, Node, TokenType

from chassis.inspection import entries, sources, surroundings
from chassis.inspection.configuration import Capability
from chassis.inspection.findings import Finding
from chassis.inspection.project import Concern, Project, Reading, models, moved
from chassis.inspection.reading import Access, Summary, layers, together
from chassis.inspection.values import Of, is_model

KEY = "templates"  # what templates name is told together
MOST_FILES = 20_000  # a folder of templates may be that of the whole project
MOST_BYTES = 1_000_000
_PATH = re.compile(r"(?<![\w.\"'])([A-Za-z_]\w*)((?:\.\w+)+)")
_Relations = dict[str, set[tuple[Capability, str]]]


def findings(project: Project) -> Iterator[Finding]:
    """The project's own tags and filters, and its templates in Django's own language."""
    known = [engine for engine in engines.all() if isinstance(engine, DjangoTemplates)]
    libraries = {path for engine in known for path in engine.engine.libraries.values()}
    for path in sorted({*libraries, *(path for engine in known for path in engine.engine.builtins)}):
        yield from _library(project, path)
    relations = _relations(project)
    for folder in dict.fromkeys(Path(folder) for engine in known for folder in engine.template_dirs):
        files = list(islice(folder.rglob("*"), MOST_FILES))
        if len(files) == MOST_FILES:
            project.not_looked_at.append(f"templates in {folder}: of more than {MOST_FILES} files only the first")
        for file in sorted(files):
            if file.is_file() and file.stat().st_size <= MOST_BYTES and sources.is_own(str(file)):
                project.count("templates")
                _keep(project, file, relations)


def _library(project: Project, path: str) -> Iterator[Finding]:
    library: Any = import_module(path).register
    for kind, known in (("tag", library.tags), ("filter", library.filters)):
        for name, thing in sorted(known.items()):
            written = list(layers(thing))
            if not written or not sources.is_own(sources.file_of(written[-1])):
                continue
            project.count(f"template {kind}s")
            # What is put around it only reads the template; it is called when that is rendered.
            summary = entries.function(project.reader, written[-1])
            told = f"the template {kind} {name}"
            done = together(summary, _rendered(project, summary))
            yield from surroundings.everywhere(project, told, written[-1], done, key=path)


def _rendered(project: Project, summary: Summary) -> Summary:
    """What the nodes do that a tag gives back."""
    nodes = [one.cls for one in summary.returns if isinstance(one, Of) and issubclass(one.cls, Node)]
    return together(*(entries.method(project.reader, cls, "render", own=True) for cls in nodes))


def _relations(project: Project) -> _Relations:
    """By the names that rows of other models have for them, the tables that move."""
    found: _Relations = {}
    plain = {field.name for model, _ in moved(project) for field in model._meta.fields if not field.is_relation}
    for model in models():
        if model._meta.auto_created:
            continue
        fields: list[Any] = [field for field in model._meta.get_fields() if is_model(field.related_model)]
        for field in fields:
            capability = project.capability_of(field.related_model)
            name = field.get_accessor_name() if hasattr(field, "get_accessor_name") else field.name
            # A name that rows which move have themselves, for a text or a number, tells nothing.
            if capability is not None and name and name not in plain and project.capability_of(model) is not capability:
                found.setdefault(name, set()).add((capability, field.related_model._meta.db_table))
    return found


def _keep(project: Project, file: Path, relations: _Relations) -> None:
    """Keeps for the end where a template names a relation, of whatever it is given there."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return  # no text: something else lies in the folder
    if not any(name in text for name in relations):
        return
    for token in Lexer(text).tokenize():
        if token.token_type not in (TokenType.VAR, TokenType.BLOCK):
            continue
        for first, rest in _PATH.findall(token.contents):
            if first.endswith("form"):  # its fields have the names of the model's
                continue
            for part in rest.split(".")[1:]:
                for capability, table in sorted(relations.get(part, ()), key=lambda pair: pair[1]):
                    access = Access(table, part, str(file), token.lineno or 0, sure=False)
                    reason = sources.reason(str(file), access.line)
                    concern = Concern(capability, access, (), reason)
                    project.readings.append(Reading(f"templates that name {part}", file, KEY, concern))
