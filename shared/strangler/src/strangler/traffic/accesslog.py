"""Reads the gateway's access log: which requests came, how often, and how they were answered."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Project
from strangler.traffic.known import SAFE, Known, Request, needs_token, templates

LONGEST_LINE = 1024 * 1024
TOLD_EVERY = 64 * 1024 * 1024
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# A segment that names one thing of many: a number, a UUID, or a long text with digits in it.
VARIABLE_SEGMENT = re.compile(r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=.*\d)[A-Za-z0-9_-]{12,}")
REMEDY = "name the log that the gateway writes, one JSON object on each line (docs/reference/logs.md)"
MASKED = "***"
VERSION = re.compile(r"v\d+")


def read(path: Path, project: Project, *, say: Callable[[str], None] = lambda _: None) -> Known:
    """The requests of the log, by method and path, with the share and the statuses of each.

    A line without its end is left out if it is the last one. Lines of Envoy's own, which name no method, do not count.

    Raises:
        ConfigurationError: a line is no JSON object, or no line tells of a request; with file and line.
    """
    seen: dict[tuple[str, str], Counter[int]] = {}
    bodies: Counter[tuple[str, str]] = Counter()
    torn = masked = 0
    template = templates(project)
    for number, line, last in _lines(path, say):
        entry = _entry(line)
        if entry is None:
            if last:
                torn += 1
                continue
            raise _wrong("is no JSON object", f"{path}:{number}")
        if "method" not in entry:
            continue
        method, shape = entry["method"], _path(entry, template)
        if method not in METHODS or not isinstance(entry.get("status", 0), int):
            raise _wrong("has a method or a status that is none", f"{path}:{number}")
        if shape is None:
            masked += 1
            continue
        seen.setdefault((method, shape), Counter())[entry.get("status", 0)] += 1
        bodies[method, shape] += entry.get("bytes_received") != 0
    if not seen:
        raise _wrong("tells of no request", str(path))
    notes = [f"{torn} line at the end of {path.name} was torn, and left out"] if torn else []
    if masked:
        notes.append(f"{masked} requests of {path.name} have no path, for it was masked, and no route")
    requests = [
        _request(*asked, statuses, bodies=bodies[asked] > 0)
        for asked, statuses in seen.items()
        if asked[0] not in ("OPTIONS", "HEAD")
    ]
    for request in requests:
        if needs_token(project, request.method, request.path):
            request.access = "account"
    return Known(path.name, requests, notes=notes)


def _request(method: str, path: str, statuses: Counter[int], *, bodies: bool) -> Request:
    fine = [status for status, _ in statuses.most_common() if 200 <= status < 400]
    total = statuses.total()
    request = Request(method, path, tuple(fine[:1]) or (200,), count=total, unknown_body=method not in SAFE and bodies)
    others = {status: count for status, count in statuses.items() if status >= 400 or not status}
    if not fine:
        request.doubts.append(f"each of its {total} requests was answered with {_told(others)}")
    elif sum(others.values()) * 20 > total:
        request.doubts.append(f"{_told(others)} of {total} requests: is that right, and when?")
    return request


def _told(statuses: dict[int, int]) -> str:
    return ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(statuses.items()))


def _path(entry: dict[str, Any], template: Callable[[str, str], str | None]) -> str | None:
    """The path with variables: as the route of a capability has it, else by what looks like an id."""
    method, path, route = entry["method"], str(entry.get("path", "")), entry.get("route")
    path = path.partition("?")[0]
    if path.startswith("/") and path != MASKED:
        if (found := template(str(method), path)) is not None:
            return found
        return "/".join(
            "{id}" if VARIABLE_SEGMENT.fullmatch(each) and not VERSION.fullmatch(each) else each
            for each in path.split("/")
        )
    if isinstance(route, str) and route.startswith("/") and not route.endswith("*"):
        return route
    return None


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _lines(path: Path, say: Callable[[str], None]) -> Iterator[tuple[int, bytes, bool]]:
    """Each line that is not empty, with its number; whether it is the last one and has no end."""
    try:
        size = path.stat().st_size
        with path.open("rb") as log:
            done = told = number = 0
            while line := log.readline(LONGEST_LINE + 1):
                number, done = number + 1, done + len(line)
                if len(line) > LONGEST_LINE:
                    raise _wrong(f"is longer than {LONGEST_LINE:,} bytes", f"{path}:{number}")
                if done - told >= TOLD_EVERY:
                    told = done
                    say(f"{path.name}: {number:,} lines, {100 * done // max(size, done)} %")
                if line.strip():
                    yield number, line, not line.endswith(b"\n")
    except OSError as error:
        raise _wrong(f"cannot be read: {error.strerror}", str(path)) from error


def _wrong(message: str, place: str) -> ConfigurationError:
    return ConfigurationError(message, place=place, remedy=REMEDY, id="traffic-source")
