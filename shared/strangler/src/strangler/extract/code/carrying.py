"""Which files besides Python come along, and what a person has to know of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from strangler.extract.code import files
from strangler.extract.code.modules import Target
from strangler.extract.code.scope import Scope
from strangler.extract.code.seams import Seen
from strangler.extract.draft import Decision, Kind


@dataclass(slots=True)
class Carried:
    """Templates, static files, fixtures and the like."""

    scope: Scope
    files: dict[PurePosixPath, str] = field(default_factory=dict)
    copies: dict[PurePosixPath, Path] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)

    def carry(self, seen: Seen) -> None:
        """Finds them all; ``files`` are those that a text holds, ``copies`` the others."""
        self.copies = files.of_apps(self.scope)
        self._leave_templates(seen)
        named = [*seen.templates, *files.named_by(self.copies.values())]
        for name, path, file in files.templates_elsewhere(self.scope.code, named, self.copies):
            self.copies[path] = file
            self.decisions.append(
                Decision(
                    f"{self.scope.code.shown(file)}:1", Kind.FILE,
                    f"the template {name} lies in no app that moves: a copy of it comes along",
                    "keep both alike for as long as both sides answer", False, str(path),
                )
            )  # fmt: skip
        have = {str(path).partition("templates/")[2] for path in self.copies}
        for name, place in seen.templates.items():
            if name not in have and name.endswith("html"):
                self.decisions.append(
                    Decision(place, Kind.FILE, f"the template {name} is not found in the project",
                             "see that an installed package has it", False)
                )  # fmt: skip
        self._templates(have)
        for path, file in list(self.copies.items()):
            if (text := files.whole_text(file)) is not None:
                self.files[path] = text
                del self.copies[path]

    def _leave_templates(self, seen: Seen) -> None:
        """Of an app that was cut apart, only those that views name, or find by the names of models, come along."""
        labels = {each.app for each in self.scope._staying.values()}
        split = [app for app in self.scope.apps if app.label in labels]
        theirs = {path: str(path).partition("templates/")[2] for path in self.copies if "templates" in path.parts
                  and any(path.is_relative_to(PurePosixPath(*app.module.split("."))) for app in split)}  # fmt: skip
        models = {table.model.lower().replace(".", "/") for table in self.scope._moving.values()}
        wanted = {name for name in theirs.values() if name in seen.templates
                  or any(name.startswith((f"{model}_", f"{model}.")) for model in models)}  # fmt: skip
        while True:
            files_of = [self.copies[path] for path, name in theirs.items() if name in wanted]
            more = {*files.named_by(files_of)} & {*theirs.values()}
            if more <= wanted:
                break
            wanted |= more
        left = [path for path, name in theirs.items() if name not in wanted]
        if left:
            place = f"{self.scope.code.shown(self.copies[left[0]])}:1"
            named = ", ".join(theirs[path] for path in left)
            self.decisions.append(
                Decision(place, Kind.FILE,
                         f"{len(left)} templates were left out, for nothing that moves names them: {named}",
                         "nothing, unless a name is made at run time", False)
            )  # fmt: skip
        for path in left:
            del self.copies[path]

    def _templates(self, have: set[str]) -> None:
        mine = {one.name for one in self.scope.requests}
        theirs = {one.name for one in self.scope.described.requests} - mine
        for path, file in self.copies.items():
            shown = self.scope.code.shown(file)
            if file.suffix not in (".html", ".htm", ".txt", ".xml"):
                if "fixtures" in path.parts:
                    self.decisions.append(
                        Decision(f"{shown}:1", Kind.FILE, "a fixture came along as it is",
                                 "take out the rows of models that stay", False, str(path))
                    )  # fmt: skip
                continue
            text = files.text_of(file)
            links = [(line, name) for line, name in files.linked(text) if name in theirs]
            if links:
                named = ", ".join(f"{name} (line {line})" for line, name in links)
                self.decisions.append(
                    Decision(f"{shown}:{links[0][0]}", Kind.ROUTE, f"{{% url %}} names routes that stay: {named}",
                             "nothing: the service's URLs have these names, for links to where the gateway leads",
                             False, str(path))
                )  # fmt: skip
            for line, name in files.extended(text):
                if name not in have:
                    self.decisions.append(
                        Decision(f"{shown}:{line}", Kind.FILE, f"it uses the template {name}, which is not found",
                                 "see that an installed package has it", False, str(path))
                    )  # fmt: skip
            for line, name in files.loaded(text):
                self._tags(shown, line, name, path)

    def _tags(self, shown: str, line: int, name: str, path: PurePosixPath) -> None:
        for app in self.scope.described.apps.values():
            module = self.scope.code.find(f"{app.module}.templatetags.{name}")
            if app.own and module is not None and not self.scope.is_taken(Target(module.name)):
                self.decisions.append(
                    Decision(f"{shown}:{line}", Kind.FILE,
                             f"{{% load {name} %}}: the tags are of {app.label}, which did not come along",
                             "write the tags anew, or install that app, too", True, str(path))
                )  # fmt: skip
