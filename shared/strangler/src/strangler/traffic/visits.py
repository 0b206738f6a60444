"""What the tests of a recording did one after another: where an id in a path was shown before, and what came after.

A test that makes something by a form often takes its key from the database. A client has only the pages, so the page is
looked for that shows the same key.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from strangler.domain.route import VARIABLE
from strangler.traffic.known import SAFE, Offered, Shown

Call = Mapping[str, Any]
# A key that is shorter may be that of another table, too.
TELLING = 6
MOST_PAGES = 5000


class Visits:
    """All calls of a recording, by test."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._tests: dict[str, list[Call]] = defaultdict(list)
        for each in calls:
            self._tests[each["test"]].append(each)
        self._pages = [each for each in calls if each["page"] and each["method"] == "GET" and each["status"] == 200]
        self._items = {template for each in calls if len(VARIABLE.findall(template := each["template"] or "")) == 1}

    def made(self, call: Call) -> Shown | None:
        """Where a client finds the id of what the call has inserted; None if no page that was recorded shows it."""
        after = self._after(call)
        led = urlsplit(call["location"]).path
        for row in call["rows"]:
            if row["kind"] != "insert" or len(row["key"]) != 1:
                continue
            key = str(next(iter(row["key"].values())))
            named = _named(call, key, after)
            pattern = _pattern(led, key)
            for prefix in named:
                if pattern and (len(key) >= TELLING or pattern.startswith(prefix)):
                    return Shown("location", pattern, "", prefix, key)
                if found := self._on_page(key, prefix, after, led):
                    return found
            if pattern and len(key) >= TELLING and not named:
                return Shown("location", pattern, "", _collection(pattern), key)
        return None

    def listed(self, call: Call) -> Shown | None:
        """What a page shows of which other requests name one by its path: that of which it shows most."""
        if call["method"] != "GET" or not call["page"]:
            return None
        shown = []
        for template in self._items - {call["template"]}:
            found = {id for path in call["page"]["paths"] if (id := _matched(template, path))}
            if found:
                shown.append((len(found), VARIABLE.sub("{}", template), min(found)))
        if not shown:
            return None
        _, pattern, key = max(shown)
        return Shown("link", pattern, call["path"], _collection(pattern), key)

    def goes_on(self, calls: Sequence[Call]) -> bool:
        """Whether, in some test, another write was taken of the thing that the path names."""
        for call in calls:
            names = {*variables(call)}
            for each in self._after(call):
                if each["method"] not in SAFE and each["status"] < 400 and names & {*variables(each)}:
                    return True
        return False

    def form(self, call: Call) -> tuple[str, dict[str, Offered]]:
        """The page that has the form which was sent, and the fields whose values come from there; empty if none was
        recorded."""
        if not call["form"] or not isinstance(call["body"], dict):
            return "", {}
        for each in self._pages:
            if each["path"] != call["path"] and call["path"] not in each["page"]["paths"]:
                continue
            if VARIABLE.search(each["template"] or "") and each["template"] != call["template"]:
                continue
            taken = {}
            for name, value in call["body"].items():
                if name in each["page"]["hidden"] and each["page"]["hidden"][name] == value:
                    taken[name] = Offered(name, "hidden")
                elif value and value in each["page"]["choices"].get(name, ()):
                    taken[name] = Offered(name, "choices")
            if taken:
                return each["template"] or each["path"], taken
        return "", {}

    def _after(self, call: Call) -> list[Call]:
        return [each for each in self._tests[call["test"]] if each["call"] > call["call"]]

    def _on_page(self, key: str, prefix: str, after: Sequence[Call], led: str) -> Shown | None:
        """The page of the test that shows the key; else, of another test, the one to which the answer leads."""
        for each in after:
            if not each["page"] or each["method"] != "GET" or VARIABLE.search(each["template"] or ""):
                continue
            where = "" if each["path"] == led else each["path"]
            patterns = [found for path in each["page"]["paths"] if (found := _pattern(path, key))]
            patterns.sort(key=lambda one: not one.startswith(prefix))
            if patterns and (len(key) >= TELLING or patterns[0].startswith(prefix)):
                return Shown("link", patterns[0], where, prefix, key)
            for field, value in each["page"]["hidden"].items():
                if value == key and len(key) >= TELLING:
                    return Shown("hidden", field, where, prefix, key)
        templates = sorted(each for each in self._items if each.startswith(prefix))
        for each in self._pages[:MOST_PAGES]:
            for template in templates if each["path"] == led else ():
                if any(_matched(template, path) for path in each["page"]["paths"]):
                    return Shown("link", VARIABLE.sub("{}", template), "", prefix, key)
        return None


def _named(call: Call, key: str, after: Sequence[Call]) -> list[str]:
    """What stood before the key in paths of later calls, first that which is most like the call's own path. A number
    that many tables have counts only where the paths have a word in common."""
    found = dict.fromkeys(prefix for each in after for value, prefix in variables(each) if value == key)
    own = _words(call["path"])
    return sorted(
        (each for each in found if not VARIABLE.search(each) and (len(key) >= TELLING or own & _words(each))),
        key=lambda each: -len(own & _words(each)),
    )


def _words(path: str) -> set[str]:
    """Those that say something: no language, and no version."""
    return {each for each in path.split("/") if len(each) > 2}


def variables(call: Call) -> Iterator[tuple[str, str]]:
    """What stands in the path for each variable of its template, with the path before it."""
    parts, given = (call["template"] or "").split("/"), call["path"].split("/")
    if len(parts) != len(given):
        return
    for number, part in enumerate(parts):
        if VARIABLE.fullmatch(part):
            yield given[number], "/".join(parts[:number]) + "/"


def _pattern(path: str, key: str) -> str:
    """The path with {} for the key; empty if it does not have it once."""
    parts = path.split("/")
    return "/".join("{}" if each == key else each for each in parts) if parts.count(key) == 1 else ""


def _collection(pattern: str) -> str:
    return pattern.partition("{}")[0]


def _matched(template: str, path: str) -> str:
    """What stands for the one variable of a template; empty if the path is none of it."""
    found = re.fullmatch("([^/]+)".join(re.escape(part) for part in VARIABLE.split(template)), path)
    return found[1] if found else ""
