"""The file's text. Comments stand where a person has to decide; without any change the tool accepts the file."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from strangler.init.claiming import Claim
from strangler.init.described import Described, Reference
from strangler.init.drafting import LEDGER, WEB, Candidate, Draft, Staying

LANGUAGE = "/{language}/"
WIDTH = 118
PAGE = "docs/how-to/own-project.md"
REFERENCE = "docs/reference/configuration.md"


def text(draft: Draft) -> str:
    """The whole file."""
    parts = [
        _head(draft),
        _databases(draft),
        _web(draft),
        _worker(draft),
        _gateway(draft),
        *(_candidate(draft, each) for each in draft.candidates),
        _stays(draft.stays),
        _unseen(draft),
    ]
    return "\n".join("\n".join(part) + "\n" for part in map(list, parts) if part)


def _head(draft: Draft) -> Iterator[str]:
    source = "its models and URLs" if draft.described.whole else "the catalog of its database"
    yield from _comment(
        f"{draft.described.name}, for strangler. `strangler init` wrote this from {source}. It is yours now: take away "
        f"what is not to move, and look at each line with a question mark. All keys: {REFERENCE}; what to do "
        f"next: {PAGE}."
    )
    if not any(word in draft.described.engine for word in ("postgres", "postgis")):
        yield from _comment(
            f"? The settings, as they were read, name {draft.described.engine or 'no database'}: a move needs "
            "PostgreSQL."
        )
    if any(claim.text.partition(" ")[2].startswith(LANGUAGE) for each in draft.candidates for claim in each.claims):
        yield from _comment("? {language} in a route stands for any first segment, for the project has many languages.")
    for line in draft.said:
        yield from _comment(f"? {line}")
    yield ""
    yield "[project]"
    yield f"name = {_quoted(_project_name(draft.described.name))}"
    yield f'ledger = "{LEDGER}"'
    yield f'monolith = "{WEB}"'
    if draft.python:
        yield f"python = {_quoted(draft.python)}"


def _databases(draft: Draft) -> Iterator[str]:
    yield from _comment(
        "The tool's addresses of both databases come from these variables. While one is not set, `strangler up` runs a "
        "server for it here; a process gets its address as DATABASE_URL, which the settings have to read."
    )
    for number, name in enumerate([LEDGER, *(one.process for one in draft.candidates if one.active)]):
        if number:
            yield ""
        yield from _database(draft, name)


def _database(draft: Draft, name: str) -> Iterator[str]:
    yield f"[databases.{name}]"
    yield "embedded = true"
    yield f'url_env = "{_variable(name)}_DATABASE_URL"'
    if draft.outbox:
        yield 'outbox = "chassis_outbox"'


def _web(draft: Draft) -> Iterator[str]:
    yield f"[processes.{WEB}]"
    if draft.described.programs.wsgi and (old := older_gunicorn(draft.described)):
        yield from _comment(
            f"gunicorn {old} does not read the chassis' configuration, which asks for 25.2 or later: so this says the "
            "same by options (docs/how-to/own-project.md, section 2)."
        )
    yield from _served(draft, draft.folder, LEDGER, "WEB")


def _served(draft: Draft, folder: str, database: str, variable: str) -> Iterator[str]:
    yield f"directory = {_quoted(folder)}"
    yield f"command = {_list(_server(draft))}"
    yield f'database = "{database}"'
    yield "http = true"
    yield f'address_env = "{variable}_URL"'
    yield f"migrate = {_list(['python', 'manage.py', 'migrate', '--noinput'])}"


def _server(draft: Draft) -> Sequence[str]:
    programs = draft.described.programs
    if programs.wsgi:
        return served_by_gunicorn(draft.described, programs.wsgi)
    if programs.asgi:
        return ["sh", "-c", f"exec uvicorn {programs.asgi} --host 127.0.0.1 --port $PORT"]
    return ["sh", "-c", "exec python manage.py runserver --noreload 127.0.0.1:$PORT"]


def served_by_gunicorn(described: Described, application: str) -> list[str]:
    """The command for a web process: by the chassis' own configuration, if the project's gunicorn can read it."""
    if not older_gunicorn(described):
        return ["gunicorn", application, "--config", "python:chassis.servers.gunicorn"]
    options = "--worker-class gthread --threads 8 --keep-alive 75 --bind 127.0.0.1:$PORT"
    return ["sh", "-c", f"WEB_THREADS=8 exec gunicorn {application} {options}"]


def older_gunicorn(described: Described) -> str:
    """The version of the project's gunicorn, if it is older than what the chassis' configuration needs."""
    found = described.distributions.get("gunicorn")
    numbers = [int(part) for part in re.findall(r"\d+", found.version)[:2]] if found else []
    return found.version if found and numbers and tuple(numbers) < (25, 2) else ""


def _worker(draft: Draft) -> Iterator[str]:
    programs = draft.described.programs
    if not programs.celery:
        yield from _comment("No Celery app was found, so `strangler up` starts no broker.")
        yield "[broker]"
        yield "embedded = false"
        return
    yield "[processes.worker]"
    yield f"directory = {_quoted(draft.folder)}"
    beat = ["--beat"] if programs.schedule else []
    yield f"command = {_list(['celery', '--app', programs.celery, 'worker', *beat, '--loglevel', 'WARNING'])}"
    yield f'database = "{LEDGER}"'
    yield ""
    yield "[broker]"
    yield "embedded = true"
    yield 'url_env = "BROKER_URL"'


def _gateway(draft: Draft) -> Iterator[str]:
    yield "[gateway]"
    yield 'address_env = "GATEWAY_URL"'
    yield 'admin_env = "GATEWAY_ADMIN"'
    for path in draft.described.admins:
        if path.strip("/") not in ("admin", "") and "{" not in path:
            yield from _comment(f"? An admin is at {path}; nobody reaches it from outside with this line:")
            yield f'# closed = ["{path.rstrip("/")}/*"]'


def _candidate(draft: Draft, one: Candidate) -> Iterator[str]:
    if one.active:
        yield from _section(draft, one)
        return
    yield from _comment(
        f"? No URL was found that belongs to {one.name}, so it stays. To move it, name its routes here, and take its "
        "tables out of `stays`."
    )
    lines = [*_section(draft, one), "", *_database(draft, one.process)]
    yield from (f"# {line}".rstrip() for line in "\n".join(lines).splitlines())


def _section(draft: Draft, one: Candidate) -> Iterator[str]:
    yield from (line for note in one.notes for line in _comment(f"? {note}"))
    yield f"[capabilities.{one.name}]"
    yield f"tables = {_list(one.tables)}"
    yield f'process = "{one.process}"'
    yield f'database = "{one.process}"'
    yield from _routes(draft, one.claims)
    for reference in one.references:
        yield ""
        yield from _reference(one, "references", reference)
    for parent in one.parents:
        yield ""
        yield from _reference(one, "parents", parent)
    yield ""
    yield from _comment(f"The service of {one.name}, which you make: a project with the same tables ({PAGE}).")
    yield f"[processes.{one.process}]"
    yield from _served(draft, f"services/{one.process}", one.process, _variable(one.process))


def _routes(draft: Draft, claims: Sequence[Claim]) -> Iterator[str]:
    if not claims and not draft.described.whole:
        yield from _comment(
            '? Only the database was asked: name the routes that write these tables, such as "POST /x".'
        )
    yield "routes = [" + ("" if claims else "]")
    for claim in claims:
        if claim.refusal:
            yield from _comment(f"? {'; '.join([claim.refusal, *claim.doubts])} ({', '.join(claim.places)})", "    ")
            yield f"    # {_quoted(claim.text)},"
            continue
        if claim.doubts:
            yield from _comment(f"? {'; '.join(claim.doubts)} ({', '.join(claim.places)})", "    ")
        yield f"    {_quoted(claim.text)},"
    if claims:
        yield "]"


def _reference(one: Candidate, kind: str, reference: Reference) -> Iterator[str]:
    if kind == "references" and reference.on_delete in ("PROTECT", "RESTRICT"):
        yield from _comment(
            f"? {reference.field} says {reference.on_delete}: write deletes = false if no such row is deleted while "
            f"{reference.table} is owned elsewhere."
        )
    yield f"[[capabilities.{one.name}.{kind}]]" + (f"  # {reference.on_delete}" if reference.on_delete else "")
    yield f"table = {_quoted(reference.table)}"
    yield f"column = {_quoted(reference.column)}"
    if kind == "parents":
        yield "deletes = false"
    elif not reference.constrained and reference.to_column:
        yield f"to = {_quoted(f'{reference.to}.{reference.to_column}')}"


def _stays(stays: Sequence[Staying]) -> Iterator[str]:
    yield from _comment("What does not move.")
    yield "[stays]"
    yield "tables = ["
    for one in stays:
        yield f"    {_quoted(one.pattern)}," + (f"  # {one.why}" if one.why else "")
    yield "]"


def _unseen(draft: Draft) -> Iterator[str]:
    if draft.unclaimed:
        yield from _comment(
            f"{draft.unclaimed} paths belong to no capability: the process {WEB} goes on answering them."
        )
    for one in draft.described.not_looked_at:
        yield from _comment(f"? Not looked at: {one}")


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _project_name(name: str) -> str:
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in name.lower()).strip("-")
    return kept if kept[:1].isalpha() else f"project-{kept}".rstrip("-")


def _comment(words: str, indent: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        words,
        WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}#   " if words.startswith("?") else f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _quoted(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, except for DEL, which JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(values: Iterable[str]) -> str:
    shown = [_quoted(value) for value in values]
    line = f"[{', '.join(shown)}]"
    return line if len(line) <= WIDTH - 10 else "[\n" + "".join(f"    {one},\n" for one in shown) + "]"
