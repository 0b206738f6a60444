"""What SQL names, told from its words: it is not parsed, and a name in a function's body counts like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SCAN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|\$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$"
    r"|(?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')"
    r"|(?P<end>;)",
    re.DOTALL,
)
_WORD = re.compile(r'"[^"]+"|[A-Za-z_][\w$]*')
_MADE = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:UNIQUE|UNLOGGED|RECURSIVE|CONSTRAINT|TRUSTED|TEMP|TEMPORARY)\s+)*"
    r"(?P<kind>MATERIALIZED\s+VIEW|TEXT\s+SEARCH\s+\w+|[A-Z]+)\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?"
    r'(?P<name>(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)',
    re.IGNORECASE,
)
_PART_OF = re.compile(r'\bPARTITION\s+OF\s+(?:(?:"[^"]+"|[\w$]+)\.)?(?P<name>"[^"]+"|[\w$]+)', re.IGNORECASE)
_ROWS = frozenset({"insert", "update", "delete", "copy", "merge", "truncate"})
RELATIONS = frozenset({"table", "view", "materialized view"})
# What can be there before the tables are, and may be needed to make them.
BEFORE = frozenset({"extension", "type", "domain", "collation", "schema", "sequence", "function", "aggregate"})


def words(sql: str) -> frozenset[str]:
    """The names and keywords, as PostgreSQL folds them; those in comments do not count."""
    return frozenset(_folded(word) for word in _WORD.findall(_bare(sql)))


def statements(sql: str) -> Iterator[str]:
    """Each statement, without comments and blank ones."""
    found, at = [""], 0
    for match in _SCAN.finditer(sql):
        found[-1] += sql[at : match.start()]
        at = match.end()
        if match["end"]:
            found.append("")
        elif match["comment"] is None:
            found[-1] += match[0]
        else:
            found[-1] += " "
    found[-1] += sql[at:]
    return (one.strip() for one in found if one.strip())


def made(sql: str) -> Iterator[tuple[str, str]]:
    """Kind and name of each thing that it creates."""
    for statement in statements(sql):
        if match := _MADE.match(statement):
            yield " ".join(match["kind"].lower().split()), _folded(match["name"].rpartition(".")[2])


def parts(sql: str) -> Iterator[tuple[str, str]]:
    """Each partition that it creates, and the table which that is a part of."""
    for statement in statements(sql):
        match, of = _MADE.match(statement), _PART_OF.search(statement)
        if match and of:
            yield _folded(match["name"].rpartition(".")[2]), _folded(of["name"])


def only_rows(sql: str) -> bool:
    """Whether it writes rows, and changes nothing else."""
    found = [_WORD.search(one) for one in statements(sql)]
    return bool(found) and all(one is not None and one[0].lower() in _ROWS for one in found)


def only_before(sql: str) -> bool:
    """Whether it creates nothing but what tables may need."""
    found = list(statements(sql))
    return bool(found) and all((match := _MADE.match(one)) and match["kind"].lower() in BEFORE for one in found)


def _bare(sql: str) -> str:
    return _SCAN.sub(_without_comments, sql)


def _without_comments(match: re.Match[str]) -> str:
    if match["comment"] is not None:
        return " "
    return f" {_bare(match['body'])} " if match["body"] is not None else match[0]


def _folded(word: str) -> str:
    return word.strip('"') if word.startswith('"') else word.lower()
