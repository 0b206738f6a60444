"""What must not stand in a log, and what stands there instead.

It knows secrets by their form (an address with a password, a bearer's token, a mail address), by the name that they are
given (``password=…``), by what the database quotes of rows in its errors, and by their values where the environment
has them. The chassis and the tool have this file alike.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
LONGEST_CHARACTERS = 8_000  # of one text; the middle of a longer one is left out
DEEPEST = 6
LEAST_CHARACTERS = 8  # a shorter value of the environment is a word that stands in many lines
LARGEST_FILE_BYTES = 65_536

_GUARDED = (
    r"password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|log[_-]?key|authorization|cookie|"
    r"credential|session[_-]?id|sessionid|csrf|dsn"
)
_PERSONAL = (
    r"e[_-]?mail|phone|full[_-]?name|first[_-]?name|last[_-]?name|postal[_-]?code|line1|line2|remote[_-]?addr|"
    r"client[_-]?ip"
)
_FIELD = re.compile(rf"(?:^|[_.\-])(?:{_GUARDED}|{_PERSONAL})s?(?:$|[_.\-])", re.IGNORECASE)
_VARIABLE = re.compile(rf"(?:{_GUARDED})", re.IGNORECASE)
# Each form that is masked has another character than these, or more of them.
_PLAIN = re.compile(r"[A-Za-z0-9_/-]{0,64}|[a-z0-9_./-]{0,24}")
_ODD_PATH = re.compile(r"[^A-Za-z0-9/._~-]|[A-Za-z0-9]{20}")  # a client may have put anything into it
_PEM = "-----BEGIN"

# How a part of the server's error ends: where the next one begins, or the next part of a traceback.
_END = (
    r"(?=\\n|\n(?:HINT|CONTEXT|QUERY|STATEMENT|LINE|LOCATION|The above|During handling|Traceback|[A-Za-z_.]+:|$)|"
    r"\n{0,2}\Z)"
)
# Strangers write what is masked here, and the interpreter waits for a pattern. So none may look at a text again from
# each of its places: a repeat takes what it gets and gives nothing back, a name begins where no name is before it, and
# what lies between two marks has a length.
_COLUMNS, _QUOTED, _USERINFO = 2_200, 200, 2_000  # characters; PostgreSQL's indexes have 32 columns of 63
_NAME = r"[\w.-]"
_LOCAL = r"\s@<>()\"',;:=\[\]{}|/?&"  # what no mail address has before its @
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"{_PEM}[A-Z ]*+(?<=PRIVATE KEY)-----.*?(?:-----END[A-Z ]*+-----|\Z)", re.DOTALL), MASK),
    # What the server quotes of a row.
    (re.compile(rf"(Key \([^\n]{{0,{_COLUMNS}}}?\)=)\(.*?{_END}", re.DOTALL), rf"\1({MASK})"),
    (re.compile(rf"(Failing row contains )\(.*?{_END}", re.DOTALL), rf"\1({MASK})"),
    (
        re.compile(
            r"((?:invalid input|malformed|out of range|COPY \w{1,63}, line)"
            rf"[^\n\"]{{0,{_QUOTED}}}+)\"[^\n]*\""
        ),
        rf'\1"{MASK}"',
    ),
    (re.compile(r"(?m)^(LINE \d{1,9}: ).*"), rf"\1{MASK}"),
    (re.compile(rf"(://)[^\s\"'<>@]{{0,{_USERINFO}}}+@"), rf"\1{MASK}@"),
    (re.compile(r"(\b(?:set-)?cookie[\"']?\s*+[:=]\s*)[^\n]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(\bauthorization[\"']?\s*+[:=]\s*)[^\n,}]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(bearer|basic)\s++[A-Za-z0-9._~+/=-]{6,}+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[\w-]{5,}+\.[\w-]++(?:\.[\w-]*+)?"), MASK),
    (
        re.compile(
            rf"((?<!{_NAME})(?={_NAME}*?(?:{_GUARDED})){_NAME}++[\"']?\s*+(?:=>|[=:])\s*+)"
            r"(?:\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|[\"']?[^\s,;&)}\]\"']++)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(rf"(?:(?<![^{_LOCAL}])|(?<=%40))(?:[^{_LOCAL}%]++|%(?!40))++(?:@|%40)[\w-]++(?:\.[\w-]++)++"),
        MASK,
    ),
)


class Masker:
    """Masks texts and fields. ``known`` are secrets that are masked wherever their value stands."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        spelled = {form for secret in known for form in (secret, unquote(secret), quote(secret, safe=""))}
        values = sorted((each for each in spelled if len(each) >= LEAST_CHARACTERS), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, values))) if values else None

    def text(self, text: str) -> str:
        """The text without what must not be in it, and no longer than a log can take."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if _PLAIN.fullmatch(text):
            return text
        if len(text) > LONGEST_CHARACTERS:
            half = LONGEST_CHARACTERS // 2
            text = f"{text[:half]} […] {text[-half:]}"
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def field(self, name: str, value: Any, depth: int = 0) -> Any:
        """The value as JSON can take it; masked whole where the field's name says what it is."""
        if value is None or isinstance(value, bool):
            return value
        if _is_guarded(name) or (name == "path" and _ODD_PATH.search(str(value))):
            return MASK
        if isinstance(value, (int, float)):
            return value if value - value == 0 else str(value)  # JSON has neither NaN nor infinity
        if depth < DEEPEST and isinstance(value, Mapping):
            return {self.text(_told(key)): self.field(_told(key), each, depth + 1) for key, each in value.items()}
        if depth < DEEPEST and isinstance(value, (list, tuple)):
            return [self.field("", each, depth + 1) for each in value]
        return self.text(_told(value))


@lru_cache(maxsize=1024)
def _is_guarded(name: str) -> bool:
    return _FIELD.search(name) is not None


def secrets_of(environment: Mapping[str, str] = os.environ) -> set[str]:
    """The secrets that an environment holds: by the names of its variables, in files that it names, and the passwords
    of its addresses."""
    found: set[str] = set()
    for name, value in environment.items():
        name, value = (name[:-5], _content(value)) if name.endswith("_FILE") else (name, value)  # noqa: PLW2901
        if "://" in value:
            found.update(_passwords(value))
        elif _VARIABLE.search(name) or name.endswith(("_KEY", "PGPASSWORD")):
            if _PEM in value:
                found.update(line for line in value.splitlines() if line and "-----" not in line)
            elif not value.startswith("/") and value:
                found.add(value)
    return found


def _passwords(addresses: str) -> Iterable[str]:
    for address in re.split(r"[\s,;]+", addresses):
        try:
            password = urlsplit(address).password
        except ValueError:
            continue
        if password:
            yield password


def _content(path: str) -> str:
    """A file's text; nothing where it cannot be read: whoever needs it says so."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(LARGEST_FILE_BYTES).strip()
    except (OSError, ValueError):
        return ""


def _told(value: object) -> str:
    try:
        return value if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001  whatever an object's own method raises, the line is written
        return f"<{type(value).__name__}>"
