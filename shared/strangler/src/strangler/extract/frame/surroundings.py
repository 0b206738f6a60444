"""What the parts of the frame have to know: the project, what was taken of it, and what the taken code imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from strangler.domain.project import Capability
from strangler.extract.draft import Source
from strangler.init.described import Described, Mounted

PACKAGE = "config"
ASKED_AT = "IDENTITY_URL"
_WRITTEN = frozenset(f"{name}{end}" for name in ("asgi", "celery", "settings", "urls", "wsgi") for end in (".py", ""))
_READ = frozenset({".py", ".html", ".htm", ".txt", ".xml", ".jinja", ".jinja2"})
_LOADS = re.compile(r"\{%-?\s*load\s+(?:[^%]*?\bfrom\s+)?([^%]*?)-?%\}")
_OF_DJANGO = frozenset({"cache", "i18n", "l10n", "static", "tz"})
_SPACED = re.compile(r"""["']([\w-]+(?::[\w-]+)+)["']""")
_ASKED = re.compile(
    r"""(?:\{%-?\s*url\s+|\b(?:reverse|reverse_lazy|redirect|resolve_url|url)\(\s*|_url(?:_name)?\s*=\s*)["']([\w-]+)["']"""
)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class Surroundings:
    """``root`` is the folder of the project's manage.py, and ``name`` what the service is called. ``asked_at`` is the
    variable with the address of a web process of the monolith."""

    described: Described
    source: Source
    capability: Capability
    root: Path
    name: str
    asked_at: str = ASKED_AT

    @cached_property
    def package(self) -> str:
        """The package of settings and URLs: named as the project's, which strangler.toml starts, unless the taken code
        has one of this name that leaves no room for them."""
        taken = {path.parts[0] for path in self.source.files if len(path.parts) > 1}
        own, dot, _ = self.described.settings_module.partition(".")
        if dot and (own not in taken or self._has_room(own)):
            return own
        return next(name for name in (PACKAGE, f"service_{PACKAGE}", f"{PACKAGE}_of_service") if name not in taken)

    def _has_room(self, package: str) -> bool:
        """Whether the files of the frame can lie beside the taken ones: none has their names, and importing the package
        does nothing."""
        inner = {path.parts[1] for path in self.source.files if path.parts[0] == package and len(path.parts) > 1}
        said = self.source.files.get(PurePosixPath(package, "__init__.py"), "")
        acts = not all(isinstance(node, (ast.Expr, ast.Assign)) for node in ast.parse(said).body)
        return not (acts or self.described.programs.celery or inner & _WRITTEN)

    @cached_property
    def texts(self) -> Mapping[PurePosixPath, str]:
        """The taken Python files, without tests."""
        return {
            path: text
            for path, text in self.source.files.items()
            if path.suffix == ".py" and not {"tests", "conftest.py"} & {*path.parts} and not _is_test(path)
        }

    @cached_property
    def imports(self) -> frozenset[str]:
        """Dotted names that the taken code imports: modules, and what is taken out of them."""
        return frozenset(name for text in self.texts.values() for name in _imports(text))

    @cached_property
    def has_templates(self) -> bool:
        """Whether templates came along, or the code renders some."""
        rendering = ("django.shortcuts.render", "django.template", "django.views.generic")
        if self.source.read:
            return True
        return any(path.suffix in (".html", ".txt", ".jinja", ".jinja2") for path in self.source.files) or any(
            self.imports_of(name) for name in rendering
        )

    @cached_property
    def own_modules(self) -> frozenset[str]:
        """The top modules of the project itself."""
        found = {app.module.partition(".")[0] for app in self.described.apps.values() if app.own}
        found |= {path.name for path in self.root.iterdir() if path.is_dir() and any(path.glob("*.py"))}
        found |= {path.stem for path in self.root.glob("*.py")}
        return frozenset(found | {self.described.settings_module.partition(".")[0]}) - {""}

    @cached_property
    def foreign_modules(self) -> frozenset[str]:
        """Those of them of which nothing came along."""
        taken = {path.parts[0].removesuffix(".py") for path in self.source.files}
        return self.own_modules - taken

    @cached_property
    def mounted(self) -> tuple[Mounted, ...]:
        """The URL patterns of views that answer the capability's routes."""
        views = {one.view for one in self.source.routes}
        return tuple(one for one in self.described.urls if one.view in views)

    @property
    def owns_accounts(self) -> bool:
        """Whether the accounts move with the capability."""
        return self.described.user_table is not None and self.described.user_table in self.capability.tables

    def imports_of(self, module: str) -> bool:
        """Whether the taken code imports the module, or something in it."""
        return any(name == module or name.startswith(f"{module}.") for name in self.imports)

    def mentions(self, *words: str) -> bool:
        """Whether the taken code, or a package's that answers, has one of the words."""
        pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b")
        return any(pattern.search(text) for text in (*self.texts.values(), *self.source.read.values()))

    def comes_along(self, dotted: str) -> bool:
        """Whether the module that has the name, or is it, is in the service, and has the name there."""
        parts = dotted.split(".")
        for count in range(len(parts), 0, -1):
            base = PurePosixPath(*parts[:count])
            for file in (base.with_suffix(".py"), base / "__init__.py"):
                if file in self.source.files:
                    # A package alone has only what it says in itself.
                    return count == len(parts) or (count == len(parts) - 1 and self._binds(file, parts[-1]))
        return False

    def _binds(self, file: PurePosixPath, name: str) -> bool:
        """Whether a taken file has the name, of which only parts may have come along."""
        return bool(re.search(rf"\b{re.escape(name)}\b|import \*", self.source.files[file]))

    def names_url(self, name: str) -> bool:
        """Whether the taken code or its templates write the name of a URL: one of a namespace anywhere as a text,
        another one where a URL is asked for. In the code and templates of packages it is any text."""
        return name in self.source.named or name in (self._texts_with_colon if ":" in name else self._asked_urls)

    @cached_property
    def loaded_tags(self) -> frozenset[str]:
        """The libraries of template tags that pages load, without Django's own and those that came along."""
        words = [word for text in self._readable for found in _LOADS.findall(text) for word in found.split()]
        return frozenset(words) - _OF_DJANGO - self.source.libraries.keys()

    @cached_property
    def _texts_with_colon(self) -> frozenset[str]:
        return frozenset(name for text in self._readable for name in _SPACED.findall(text))

    @cached_property
    def _asked_urls(self) -> frozenset[str]:
        return frozenset(name for text in self._readable for name in _ASKED.findall(text))

    @cached_property
    def _readable(self) -> list[str]:
        return [text for path, text in self.source.files.items() if path.suffix in _READ and not _is_test(path)]

    def is_left(self, dotted: str) -> bool:
        """Whether it names something of the project that did not come along."""
        return bool(_DOTTED.fullmatch(dotted)) and self.is_foreign(dotted)

    def is_foreign(self, name: str) -> bool:
        """Whether a module, or what stands in one, is the project's own and did not come along."""
        return name.partition(".")[0] in self.own_modules and not self.comes_along(name)

    def left_in(self, value: Any) -> Iterator[str]:
        """What the value of a setting names that did not come along."""
        if isinstance(value, str) and self.is_left(value):
            yield value
        elif isinstance(value, Mapping):
            for one in value.values():
                yield from self.left_in(one)
        elif isinstance(value, list):
            for one in value:
                yield from self.left_in(one)

    def without_left(self, value: Any) -> Any:
        """The value without these: taken out of lists, and their keys out of mappings."""
        if isinstance(value, Mapping):
            return {key: self.without_left(one) for key, one in value.items() if not self._is_only_left(one)}
        if isinstance(value, list):
            return [self.without_left(one) for one in value if not self._is_only_left(one)]
        return value

    def _is_only_left(self, value: Any) -> bool:
        return isinstance(value, str) and self.is_left(value)


def _is_test(path: PurePosixPath) -> bool:
    return path.name.startswith("test_") or path.name in ("tests.py", "factories.py")


def _imports(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
