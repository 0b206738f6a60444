"""What comes along because a name in a text asks for it: dotted names in settings, and libraries of template tags."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from strangler.extract.code import files
from strangler.extract.code.modules import Module, Target, text_of
from strangler.extract.code.scope import Fate, Scope, follow, is_test, judged, take_along
from strangler.init.described import Setting

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_WORD = re.compile(r"\b(?:[A-Z][A-Z0-9_]+|rest_framework)\b")
_TEMPLATE = re.compile(r"[\w./-]+\.(html|htm|txt|xml|jinja2?)")
# The frame writes these, or they have no meaning in a service.
_NOT_ASKED = frozenset(
    {"ASGI_APPLICATION", "AUTHENTICATION_BACKENDS", "AUTH_PASSWORD_VALIDATORS", "AUTH_USER_MODEL", "DATABASES"}
    | {"DATABASE_ROUTERS", "INSTALLED_APPS", "LOGGING", "MIGRATION_MODULES", "ROOT_URLCONF", "SESSION_ENGINE"}
    | {"TEST_RUNNER", "WSGI_APPLICATION"}
)
_REST = "REST_FRAMEWORK"
_OF_ACCOUNTS = ("DEFAULT_AUTHENTICATION_CLASSES",)
# What writes into the session, which is another side's where the accounts stay.
_WRITES_SESSION = re.compile(
    r"\bsession(\[[^\]]+\]\s*=[^=]|\.(set_expiry|flush|cycle_key|save|update|pop|setdefault|clear|modified\s*=)\b)"
)


def take_named(scope: Scope, stand_ins: Collection[str]) -> None:
    """Takes what settings and templates name, until nothing more is named.

    Raises:
        ConfigurationError: a file that is needed cannot be read.
    """
    _take_of_settings(scope, stand_ins)
    follow(scope, stand_ins)
    while _take_tags(scope):
        follow(scope, stand_ins)


def _take_of_settings(scope: Scope, stand_ins: Collection[str]) -> None:
    texts = [module.text for module in scope.modules() if not is_test(module.name)]
    words = {word for text in texts for word in _WORD.findall(text)}
    for setting in scope.described.settings:
        if setting.name in _NOT_ASKED or not _applies(setting, words):
            continue
        value = setting.value
        if setting.name == _REST and isinstance(value, dict):
            value = {key: one for key, one in value.items() if key not in _OF_ACCOUNTS}
        for name in dict.fromkeys(_names(value)):
            if (target := _target(scope, name)) is not None:
                _take(scope, stand_ins, setting, name=name, target=target)


def _applies(setting: Setting, words: Collection[str]) -> bool:
    """Whether Django reads it, or code that comes along, of which these are the words."""
    if setting.name == _REST:
        return "rest_framework" in words
    return setting.django or setting.name in words


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if _DOTTED.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _names(one)
    elif isinstance(value, list):
        for one in value:
            yield from _names(one)


def _target(scope: Scope, name: str) -> Target | None:
    """What it names of the project: a module, or something in one."""
    if scope.code.find(name) is not None:
        return Target(name)
    module, _, attribute = name.rpartition(".")
    there = scope.code.find(module)
    if there is None:
        return None
    target = scope.code.resolve(Target(module, attribute))
    found = scope.code.find(target.module)
    return target if found is not None and target.name in found.binders else None


def _take(scope: Scope, stand_ins: Collection[str], setting: Setting, *, name: str, target: Target) -> None:
    stay = not scope.moves(scope.described.user_table or "")
    if setting.name == "MIDDLEWARE" and stay and _writes_session(scope, target):
        scope.not_taken[name] = "it writes the session, which only the side that has the accounts may do"
        return
    if scope.is_taken(target):
        return
    fate, why = judged(scope, target, stand_ins)
    if fate is not Fate.TAKEN:
        scope.not_taken[name] = why


def _writes_session(scope: Scope, target: Target) -> bool:
    module = scope.code.find(target.module)
    nodes = [each.node for each in module.binders.get(target.name, ())] if module else []
    return any(_WRITES_SESSION.search(ast.get_source_segment(module.text, node) or "") for node in nodes if module)


def _take_tags(scope: Scope) -> bool:
    """Takes the libraries of tags that templates load, whole: a page is not shown without them. Whether it took any."""
    before = len(scope.libraries)
    for name in sorted(_loaded(scope)):
        if name in scope.libraries:
            continue
        for app in scope.described.apps.values():
            module = scope.code.find(f"{app.module}.templatetags.{name}")
            if app.own and module is not None and not scope.is_taken(Target(module.name)):
                scope.libraries[name] = module.name
                take_along(scope, module)
    return len(scope.libraries) > before


def _loaded(scope: Scope) -> set[str]:
    templates = list(files.of_apps(scope).items())
    copies = dict(templates)
    named = [text for module in scope.modules() if not is_test(module.name) for text in _templates_of(scope, module)]
    named += files.named_by(copies.values())
    found: list[Path] = [*copies.values()]
    found += [file for _, _, file in files.templates_elsewhere(scope.code, named, copies)]
    return {name for file in found if file.suffix in files.TEMPLATES for _, name in files.loaded(files.text_of(file))}


def _templates_of(scope: Scope, module: Module) -> Iterator[str]:
    for statement in scope.statements(module):
        for each in ast.walk(statement.node):
            text = text_of(each)
            if text is not None and _TEMPLATE.fullmatch(text):
                yield text
