"""Reads what `chassis.testing.recording` has written down of a project's tests."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from strangler.domain.errors import ConfigurationError
from strangler.traffic.known import (
    PASSWORD,
    ROOM,
    SAFE,
    Column,
    Kept,
    Known,
    Of,
    Request,
    Row,
    Secret,
    Shape,
    Text,
    Unknown,
    column_with,
    leaves,
)
from strangler.traffic.samples import is_reference
from strangler.traffic.visits import Visits, variables

FORM = 2
MASK = "***"
TOLD_EVERY = 50_000
REMEDY = "make it with `strangler traffic record`, by a chassis of the same version"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Texts of another kind, which a column of texts may hold all the same.
TYPED = re.compile(r"[\d.,:+-]+|\d{4}-\d\d-\d\d.*|https?://.*|[A-Z]{2,3}|#\w+")
FLEETING = re.compile(r"content-|accept|if-|x-forwarded|x-csrf|x-requested|user-agent|referer|cookie|traceparent")
Call = Mapping[str, Any]


def read(path: Path, *, say: Callable[[str], None] = lambda _: None) -> Known:
    """The requests that were answered with success, each by its most telling example, and the tables.

    Raises:
        ConfigurationError: a line is none of a recording, or there is no request; with file and line.
    """
    tables, login, calls, notes = _calls(path, say)
    visits = Visits([each for made in calls.values() for each in made])
    requests, failed = [], []
    for (method, template), made in calls.items():
        fine = [each for each in made if each["status"] < 400 and not _is_sent_away(each, login)]
        if fine and method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            requests.append(_request(method, template, fine, tables, visits))
            # What depends on the state of a thing may be refused because of it.
            if method != "GET" and any(each["status"] == 409 for each in made):
                requests[-1].expected = (*requests[-1].expected, 409)
        elif method not in ("OPTIONS", "HEAD"):
            failed.append(_refused(method, template, made))
    notes += _unseen(calls)
    unsteady: dict[str, set[str]] = defaultdict(set)
    for each in (each for made in calls.values() for each in made):
        for table, column in _unsent(each):
            unsteady[table].add(column)
    words = Counter(each["access"] for made in calls.values() for each in made if each["access"])
    return Known(
        path.name, [*requests, *failed], tables, unsteady, scheme=_scheme(words),
        login=login if "session" in words else "", notes=notes,
    )  # fmt: skip


def unseen(path: Path) -> list[str]:
    """What a recording does not tell: requests that could not be read, files, and rows of tables that could not be."""
    calls: dict[tuple[str, str], list[Call]] = defaultdict(list)
    notes = []
    files: dict[str, set[str]] = defaultdict(set)
    for entry in filter(None, (_entry(line) for _, line, _ in _lines(path))):
        if entry.get("kind") == "unread":
            notes.append(_unread(entry))
            continue
        asked = (entry.get("method", ""), entry.get("template") or entry.get("path", ""))
        files[" ".join(asked)].update(entry.get("files") or ())
        if entry.get("unseen"):
            calls[asked].append(entry)
    notes += [f"{asked}: the content of its files ({', '.join(sorted(names))}) was not recorded"
              for asked, names in files.items() if names]  # fmt: skip
    return [*notes, *_unseen(calls)]


def _unread(entry: Mapping[str, Any]) -> str:
    return f"{entry['method']} {entry['path']}: the recording could not read it ({entry['error']})"


def _calls(
    path: Path, say: Callable[[str], None]
) -> tuple[dict[str, Shape], str, dict[tuple[str, str], list[Call]], list[str]]:
    """The tables, the page of the login, the requests by method and path, and what is to be told."""
    tables: dict[str, Shape] = {}
    login = ""
    calls: dict[tuple[str, str], list[Call]] = defaultdict(list)
    notes = []
    for number, line, last in _lines(path):
        entry = _entry(line)
        if entry is None and last:
            notes.append(f"the last line of {path.name} was torn, and left out")
            continue
        if number % TOLD_EVERY == 0:
            say(f"{path.name}: {number:,} requests")
        try:
            if entry is None or entry["kind"] not in ("project", "request", "unread"):
                raise _wrong("is no line of a recording", f"{path}:{number}")
            if entry["kind"] == "unread":
                notes.append(_unread(entry))
                continue
            if entry["kind"] == "request":
                calls[entry["method"], entry["template"] or entry["path"]].append(entry)
                continue
            if entry["form"] != FORM:
                raise _wrong(f"is of form {entry['form']}, and {FORM} is read", f"{path}:{number}")
            tables.update({name: _shape(each) for name, each in entry["tables"].items()})
            login = entry["login"]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _wrong(f"is no line of a recording: {error!r}", f"{path}:{number}") from error
    if not calls:
        raise _wrong("has no request", str(path))
    return tables, login, calls, notes


def _unseen(calls: Mapping[tuple[str, str], Sequence[Call]]) -> Iterator[str]:
    """The tables whose rows the recording does not tell, each with the requests that write it."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (method, template), made in calls.items():
        for table, why in {item for each in made for item in each["unseen"].items()}:
            found[table, why].append(f"{method} {template}")
    for (table, why), asked in sorted(found.items()):
        more = f" and {len(asked) - 2} more" if len(asked) > 2 else ""
        yield f"{', '.join(asked[:2])}{more}: what is left in {table} was not recorded, for {why}"


def _is_sent_away(call: Call, login: str) -> bool:
    """Whether somebody who is not known was led to the login instead of being answered."""
    there = call["location"].partition("?")[0]
    return bool(login) and not call["signed_in"] and 300 <= call["status"] < 400 and there == login


def _unsent(call: Call) -> Iterator[tuple[str, str]]:
    """The columns that a request has changed to something else than it sent under their name."""
    sent = {(str(place[-1]), _as_text(value)) for place, value in leaves(call["body"]) if place}
    for row in call["rows"]:
        for column, value in row["values"].items() if row["kind"] == "update" else ():
            if not {(column, value), (column.removesuffix("_id"), value)} & sent:
                yield row["table"], column


def _scheme(words: Counter[str]) -> str | None:
    """The word before most tokens; empty for sessions, None where the tests only said who asks."""
    named = [word for word, _ in words.most_common() if word not in ("forced", "session")]
    if named:
        return named[0]
    return "" if "session" in words else None


def _refused(method: str, template: str, made: Sequence[Call]) -> Request:
    statuses = sorted({each["status"] for each in made})
    request = Request(method, template, count=len(made))
    request.doubts.append(f"no test had it done: it was answered with {', '.join(map(str, statuses))}")
    return request


def _request(method: str, template: str, fine: Sequence[Call], tables: Mapping[str, Shape], visits: Visits) -> Request:
    best = max(fine, key=_worth)
    if method == "POST" and not isinstance(best["answer"], dict):
        best = max((each for each in fine if visits.made(each)), key=_worth, default=best)
    rows = [Row(one["table"], one["kind"], one["key"], one["values"]) for one in best["rows"]]
    sent = _taken(best["body"], rows, tables) if method == "PATCH" else best["body"]
    columns = {**_by_value(sent, rows, tables), **_columns(rows, tables)}
    request = Request(
        method,
        template,
        (best["status"],),
        form=best["form"],
        query="&".join(f"{name}={value}" for name, value in best["query"].items()),
        access=_access(fine),
        answer=best["answer"],
        count=3 if method in SAFE else 2,
        rows=rows,
        sent=sent,
    )
    page, offered = visits.form(best)
    if sent not in (None, {}, []) or best["form"]:
        request.body = _tree(sent, "", columns)
        if offered:
            request.form_page = page
            request.body = {**request.body, **offered}
    if best["answer"] is None:
        request.shown = visits.made(best) if method == "POST" else visits.listed(best)
    request.goes_on = visits.goes_on(fine)
    request.named = next((value for value, _ in reversed([*variables(best)])), None)
    if best["files"]:
        request.doubts.append(f"it takes files ({', '.join(best['files'])}), which a scenario does not send")
    request.doubts += [f"which {name} does its query need?" for name, value in best["query"].items() if value == MASK]
    kept = {name: value for name, value in best["headers"].items() if not FLEETING.match(name)}
    common = [name for name in kept if sum(name in each["headers"] for each in fine) * 2 > len(fine)]
    request.sent_headers = {name: kept[name] for name in common}
    request.headers = {_title(name): _header(name, kept[name]) for name in common}
    request.id_name = next((str(one["in"][-1]) for one in reversed(best["ids"]) if one and one["in"]), None)
    return request


def _worth(call: Call) -> tuple[int, int, int]:
    """How telling an example is: what was sent is found in the rows, and nothing is sent that is left nowhere."""
    sent = [
        (str(place[-1]), _as_text(value)) for place, value in leaves(call["body"]) if place and "$" not in str(place)
    ]
    found = sum(
        any(value in (row["values"].get(name, ""), row["values"].get(f"{name}_id", "")) for row in call["rows"])
        for name, value in sent
    )
    shown = len(json.dumps(call["answer"])) if call["answer"] else 0
    # Of a change what was not taken is left out later.
    price = 0 if call["method"] == "PATCH" else 2
    return (found - price * (len(sent) - found) if call["rows"] else -1, -len(call["query"]), min(shown, 400))


def _taken(body: Any, rows: Sequence[Row], tables: Mapping[str, Shape]) -> Any:
    """The body of a change without what has a column of the changed row, and was not written there."""
    changed = next((row for row in rows if row.kind == "update" and isinstance(body, dict)), None)
    shape = tables.get(changed.table) if changed else None
    if changed is None or shape is None:
        return body
    left = {name: each for name, each in body.items() if changed.values.get(name, "\0") == _as_text(each)}
    kept = {name: each for name, each in body.items() if name in left or name not in shape.columns}
    return kept if left else body


def _access(fine: Sequence[Call]) -> str:
    if any(not each["signed_in"] and each["access"] in ("", "session") for each in fine):
        return ""
    return "staff" if all(each["staff"] for each in fine) else "account"


def _columns(rows: Sequence[Row], tables: Mapping[str, Shape]) -> dict[str, tuple[Column, str]]:
    """The columns of the rows' tables, and of each the table that it refers to, if it does."""
    found: dict[str, tuple[Column, str]] = {}
    for row in rows:
        if shape := tables.get(row.table):
            for name, column in shape.columns.items():
                found.setdefault(name, (column, shape.parents.get(name, ("", ""))[0]))
    return found


def _by_value(sent: Any, rows: Sequence[Row], tables: Mapping[str, Shape]) -> dict[str, tuple[Column, str]]:
    """Columns for fields of a form that are called otherwise: the text that was sent is in one column, and no other."""
    found = {}
    for place, value in leaves(sent):
        name = str(place[-1]) if place else ""
        if isinstance(value, str) and (column := column_with(value, name, rows, tables)):
            found[name] = (column[1], "")
    return found


def _tree(value: Any, name: str, columns: Mapping[str, tuple[Column, str]]) -> Any:
    if isinstance(value, dict):
        if value.keys() & {"$secret", "$from"}:
            return _hidden(value, name)
        return {key: _tree(each, key, columns) for key, each in value.items() if key != "csrfmiddlewaretoken"}
    if isinstance(value, list):
        return [_tree(each, name, columns) for each in value[:1]]
    refers = columns.get(f"{name}_id", (None, ""))[1] or columns.get(name, (None, ""))[1]
    if value is not None and not isinstance(value, bool) and (refers or (is_reference(name) and value)):
        return Of(name, refers)
    if isinstance(value, str):
        return _text(name, value, columns.get(name, (None, ""))[0])
    return value


def _hidden(value: Mapping[str, Any], name: str) -> Any:
    """What the recording does not say, but where it came from."""
    if "$secret" in value:
        return Secret(name) if PASSWORD.search(name) else Unknown(f"which {name}?")
    last = str(value["$from"]["in"][-1])
    return Of(name) if last in ("id", "uuid", "pk", "slug") else Kept(last)


def _text(name: str, value: str, column: Column | None) -> Any:
    if "@" in value and " " not in value:
        return Text(name, column.limit if column else None, "email")
    if UUID.fullmatch(value):
        return Text(name, None, "uuid")
    plain = value and column is not None and column.kind == "text" and not column.choices
    if plain and not TYPED.fullmatch(value) and column and (column.limit is None or column.limit >= ROOM + 4):
        return Text(name, column.limit)
    return value


def _header(name: str, value: str) -> Any:
    if UUID.fullmatch(value):
        return Text(name, None, "uuid")
    return Text(name) if "key" in name else value


def _title(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _as_text(value: Any) -> str | None:
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _shape(each: Mapping[str, Any]) -> Shape:
    return Shape(
        {name: Column(**one) for name, one in each["columns"].items()},
        each["key"],
        {name: (parent, on_delete) for name, (parent, on_delete) in each["parents"].items()},
    )


def _entry(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line, not line.endswith("\n")
    except OSError as error:
        raise _wrong(f"cannot be read: {error.strerror}", str(path)) from error
    except UnicodeDecodeError as error:
        raise _wrong("is not text in UTF-8", str(path)) from error


def _wrong(message: str, place: str) -> ConfigurationError:
    return ConfigurationError(message, place=place, remedy=REMEDY, id="traffic-source")
