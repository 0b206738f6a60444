"""What strangers send, for tests: every operation of an OpenAPI document, with every input that is hard to take.

``objections(document, application, …)`` is a whole test of a project. ``for ask in asks(document): …`` lets a test send
the requests with any client, and ``objection(document, ask, …)`` says what is wrong with an answer. Nothing here knows
Django, so the same requests can be sent over a wire.
"""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urlencode

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO")
BODIES = ("POST", "PUT", "PATCH", "DELETE")
JSON = "application/json"

NUMBERS: tuple[Any, ...] = (
    0, -1, 1.5, -0.0, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**399, 1e308, 5e-324, "NaN", "Infinity", "-inf",
    "1e999", "1e-999", "9" * 20, "9" * 5_000, "-0", "0x10", "1_000", "٣", "²",
)  # fmt: skip
TEXTS: tuple[Any, ...] = (
    "", " ", "\x00", "a\x00b", "\ud800", "a\udfffb", "\u202e", "\ufeff", "🦄" * 300, "x" * 70_000, "ſİ" * 90,
    "%s%(x)s{0}",
    "' OR 1=1 --", "\\x00", "\r\nX-A: b", "../../etc/passwd", "a@b", "é@例え.テスト", f"{'a' * 300}@example.com",
    f"a@{'b' * 300}.com", "a@[127.0.0.1]", '"\\""@example.com', "2024-02-30", "0001-01-01T00:00:00+23:59", "null",
)  # fmt: skip
OTHERS: tuple[Any, ...] = (None, True, [], {}, [None], [[[]]], {"": {}}, [{}] * 3, ["x"] * 1_000, {"\x00": 1})

RAW: tuple[bytes, ...] = (
    b"", b" ", b"null", b"[]", b'"x"', b"1", b"{", b"}", b"[" * 900, b"[" * 100_000, b"[" * 900 + b"]" * 900,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b'{"a":1,"a":2}', b"NaN", b'{"a":-Infinity}', b'{"a":1e999}',
    b'{"a":' + b"9" * 5_000 + b"}", b'{"a":"\\ud800"}', b'{"\\u0000":1}', b'{"a":"\x00"}', b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"), b'{"a":"\xe9"}', b"\x1f\x8b\x08\x00", b"a=1&b=2", b"--x\r\n\r\n",
)  # fmt: skip
CONTENT_TYPES = (
    "", "application/xml", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=x", "application/json; charset=utf-16",
    "application/json; charset=latin-1", "application/json; charset=base64", "application/json; charset=undefined",
    "application/json; charset=idna", "application/json; charset=nosuch", "text/plain; charset=rot13", "é/é", ";",
    "json", "application/json; a*0=b; a*=nosuch''c",
)  # fmt: skip
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Accept": (
        "", "*", "text/html", "application/json;q=x", "a/b; c*=nosuch''d", "a/b; c*0=d; c*=e", "x" * 3_000, "é/é", ",",
    ),
    "Accept-Language": ("xx", "é", ",;q=", "x" * 3_000),
    "Authorization": (
        "", "Bearer", "Bearer a b", "Bearer é", "Bearer ..", "Basic Og==", "bearer a.b.c", f"Bearer {'x' * 7_000}",
        "Bearer " + base64.urlsafe_b64encode(b"[" * 4_000).decode() + ".e30.x",
        "Bearer " + base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"\\ud800"}').decode().rstrip("=") + ".e30.x",
        "Bearer " + base64.urlsafe_b64encode(b'{"alg":"none","kid":"x"}').decode().rstrip("=") + ".e30.",
    ),
    "Cookie": ("sessionid=x", 'sessionid="\\000aaaaaaaaaa"', "csrftoken=é", "=;=", "messages=x; sessionid=" + "x" * 99),
    "Host": ("", "é", "a b", "evil.example", "[::1", "localhost:99999999", "localhost:x"),
    "Idempotency-Key": ("", "é", "\x01", "a\tb", "x" * 256, "x" * 6_000),
    "If-Modified-Since": ("x", "Mon, 99 Nov 9999 99:99:99 GMT"),
    "Prefer": ("wait=abc", "wait=", "wait=-1", "wait=nan", "wait=0.0001", "wait=0; wait=1", "é", "wait=0" + "9" * 50),
    "Range": ("bytes=0-", "bytes=-1", "x"),
    "traceparent": ("x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é", "ff" * 900),
    "X-Forwarded-For": ("", "é", ",,,", "::1%eth0", "x" * 3_000),
    "X-Forwarded-Host": ("é", "evil.example, b", "a b"),
    "X-Forwarded-Proto": ("é", "gopher", "https,http"),
    "X-Request-Id": ("é", "x" * 3_000, "a b"),
    "X-CSRFToken": ("é", "x" * 3_000),
    "X-HTTP-Method-Override": ("DELETE", "é"),
}  # fmt: skip
POSITIONS = (
    "\x00",
    "x",
    "",
    "NaN",
    "1e999999",
    "-1",
    "9" * 20,
    "9" * 5_000,
    "2024-02-30",
    "0001-01-01T00:00:00+23:59",
    "é",
)
OFFSETS = ("-1", "x", "9" * 9, "9" * 20, "9" * 5_000, "1e3")
IDS = ("0", "-1", "9" * 19, "9" * 20, "9" * 5_000, "1.5", "x", "%00", "%ED%A0%80", "%FF", "٣", "1e3", "..%2F1", "1%2F2")
MANY = "&".join(f"a{number}=1" for number in range(1_100))
QUERIES = ("cursor", "page_size", "ordering", "search", "format", "limit", "id", "é", "__class__")


@dataclass(frozen=True)
class Ask:
    """One request. ``path`` with its query, percent-encoded; ``template`` is the document's path."""

    method: str
    path: str
    template: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path[:200]} {str(dict(self.headers))[:200]} {self.body[:200]!r}"


def asks(document: Mapping[str, Any], *, ids: Mapping[str, object] | None = None) -> Iterator[Ask]:
    """All requests for every path of the document; ``ids`` are, by template, values of path parameters that exist."""
    for template, operations in document["paths"].items():
        path = _filled(template, (ids or {}).get(template, 1))
        for method in METHODS:
            yield Ask(method, path, template)
        for method, operation in operations.items():
            yield from _operation(document, method.upper(), path, template, operation)


def some(document: Mapping[str, Any], count: int, *, seed: int = 1, **known: Any) -> list[Ask]:
    """``count`` of `asks`, all of them for 0; the same ones for the same seed."""
    found = list(asks(document, **known))
    return random.Random(seed).sample(found, min(count or len(found), len(found)))  # noqa: S311


def objections(
    document: Mapping[str, Any],
    application: WSGIApplication,
    *,
    sign_in: Callable[[Ask], Mapping[str, str]],
    count: int,
    ids: Mapping[str, object] | None = None,
) -> tuple[list[str], Counter[int]]:
    """What is wrong with the answers to `some`, and how often each status came.

    ``sign_in`` gives the headers with which a request is let in. Each request comes from an address of its own, so that
    none is throttled.
    """
    found: list[str] = []
    statuses: Counter[int] = Counter()
    for number, ask in enumerate(some(document, count, ids=ids)):
        address = {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        status, content_type, body = answer(application, ask, {**address, **sign_in(ask)})
        statuses[status] += 1
        if wrong := objection(document, ask, status, content_type, body):
            found.append(f"{wrong} to {ask}")
    return found, statuses


def answer(application: WSGIApplication, ask: Ask, headers: Mapping[str, str] | None = None) -> tuple[int, str, bytes]:
    """Status, Content-Type and body of the application's answer; ``headers`` are used where the request has none."""
    path, _, query = ask.path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": ask.method,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": ask.path,
        "CONTENT_LENGTH": str(len(ask.body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(ask.body),
        "wsgi.errors": BytesIO(),
        "wsgi.url_scheme": "http",
    }
    for name, value in {"Host": "localhost", **(headers or {}), **ask.headers}.items():
        environ["CONTENT_TYPE" if name == "Content-Type" else f"HTTP_{name.upper().replace('-', '_')}"] = value
    told: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        told[:] = [int(status.split(maxsplit=1)[0]), {name.lower(): value for name, value in headers}]

    said = application(environ, start_response)
    body = b"".join(said)
    getattr(said, "close", lambda: None)()
    return told[0], told[1].get("content-type", ""), body


def objection(document: Mapping[str, Any], ask: Ask, status: int, content_type: str, body: bytes) -> str | None:
    """What is wrong with an answer: an error of the server, an error that is not JSON, a status that the document does
    not know. None where nothing is wrong."""
    if status >= 500:
        return f"{status} {body[:200]!r}"
    if status >= 400 and ask.method != "HEAD" and not content_type.startswith(JSON):
        return f"{status} is {content_type or 'nothing'} and not JSON: {body[:200]!r}"
    operations = document["paths"][ask.template]
    operation = operations.get("get" if ask.method == "HEAD" else ask.method.lower())
    if operation is None:
        return None if status in (200, 400, 401, 403, 404, 405, 406) else f"{status} for a method that is not there"
    if status >= 300 and status != 404 and str(status) not in operation["responses"]:
        return f"{status} is not in the document: {body[:200]!r}"
    if status >= 400 and status != 400 and ask.method != "HEAD" and "detail" not in json.loads(body):
        return f"{status} has no detail: {body[:200]!r}"
    return None


def _operation(
    document: Mapping[str, Any], method: str, path: str, template: str, operation: Mapping[str, Any]
) -> Iterator[Ask]:
    good, headers = _good(document, operation), {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "header" and parameter.get("required"):
            headers[parameter["name"]] = "hostile"
    if method in BODIES:
        headers["Content-Type"] = JSON
    plain = Ask(method, path, template, headers, _encoded(good) if method in BODIES else b"")
    yield plain
    for name, values in HEADERS.items():
        yield from (Ask(method, path, template, {**headers, name: value}, plain.body) for value in values)
    yield from (Ask(method, path, template, {**headers, "Content-Type": kind}, plain.body) for kind in CONTENT_TYPES)
    yield from (Ask(method, f"{path}?{query}", template, headers, plain.body) for query in _queries(operation))
    yield Ask(method, f"{path}?{MANY}", template, {**headers, "Content-Type": f"{JSON}; charset=utf-8"}, plain.body)
    if "{" in template:
        yield from (Ask(method, _filled(template, id), template, headers, plain.body) for id in IDS)
    if method in BODIES:
        bodies = (*RAW, *(_encoded(body) for body in _spoilt(good)))
        yield from (Ask(method, path, template, headers, body) for body in bodies)


def _filled(template: str, value: object) -> str:
    before, _, rest = template.partition("{")
    return template if not rest else before + quote(str(value), safe="%") + rest.partition("}")[2]


def _queries(operation: Mapping[str, Any]) -> Iterator[str]:
    named = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    values = [value for value in (*NUMBERS, *TEXTS) if len(str(value)) < 6_000]
    for name in dict.fromkeys((*named, *QUERIES)):
        for value in values:
            yield urlencode({name: value}, errors="surrogatepass")
        yield f"{quote(name)}=%ED%A0%80&{quote(name)}=%FF&{quote(name)}"
    yield MANY
    yield "%"
    sorts = ("", "&ordering=id", "&ordering=name", "&ordering=-price", "&ordering=updated_at", "&ordering=-id")
    for sort in sorts:
        for position in POSITIONS:
            yield from (_cursor({"p": position, "r": back}) + sort for back in (0, 1))
        yield from (_cursor({"o": offset}) + sort for offset in OFFSETS)
        yield from (_cursor({"p": "1", "o": offset}) + sort for offset in OFFSETS)


def _cursor(content: Mapping[str, object]) -> str:
    return "cursor=" + quote(base64.b64encode(urlencode(content).encode()).decode())


def _good(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    return _example(document, content[JSON]["schema"]) if JSON in content else {}


def _example(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Something that fits the schema well enough to reach what comes after it."""
    if "$ref" in schema:
        return _example(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "allOf" in schema:
        return _example(document, schema["allOf"][0])
    kind = schema.get("type")
    if kind == "object":
        written = {name: sub for name, sub in schema.get("properties", {}).items() if not sub.get("readOnly")}
        return {name: _example(document, sub) for name, sub in written.items()}
    if kind == "array":
        return [_example(document, schema["items"])]
    texts = {"email": "someone@example.com", "decimal": "2.50"}
    plain = {"integer": schema.get("minimum", 1) if schema.get("minimum", 1) > 0 else 1, "boolean": False, "number": 1}
    return plain.get(str(kind), texts.get(str(schema.get("format")), "EUR" if schema.get("maxLength") == 3 else "DE"))


def _spoilt(good: Any) -> Iterator[Any]:
    """The body with one of its values replaced, left out or added to."""
    for place in _places(good):
        for value in (*NUMBERS, *TEXTS, *OTHERS):
            yield _replaced(good, place, value)


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if before:
        yield before
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        children = (*value.items(), ("unknown", None))
    elif isinstance(value, list):
        children = enumerate(value)
    for name, child in children:
        yield from _places(child, (*before, name))


def _replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[place[0]] = _replaced(changed[place[0]] if place[0] != "unknown" else None, place[1:], new)
    return changed


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()
