"""Requests as nobody would write them by hand, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

METHODS = ["POST"] * 6 + ["PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "REPORT"]
BEGINNINGS = ["/books/echo"] * 6 + [
    "/books%2Fecho",
    "/%62ooks/ech%6f",
    "/books/./echo",
    "//books/echo",
    "/\\books/echo",
]
PATH = [
    "/", "//", "/.", "/..", "/...", "/%2e%2e", "%2F", "%2f", "%252F", "%", "%zz", "%25", "%5C", "\\", ";v=1", ";", ":",
    "+", "%20", "%0A", "%0d%0a", "%09", "%7F", "%C2%85", "%E2%80%A8", "%FF", "%C0%AF", "%C3%A9", "%c3%a9", "%e9",
    "%E5%95%86", "%ED%A0%80", "a", "7", "%37", "~", "%7E", "|", "^", "`", "{}", "[]", "<>", '"', "'", "@", "&", "=",
    ",",
]  # fmt: skip
QUERY = [*PATH, "?", "?", "&", "&", "=", "=", "a=1", "a=2", "b", "&&", "=&", "../x", "http://a/"]
HEADERS = [
    "X-A: 1", "X-A: 2", "X-a: 3", "X-Empty:", "X-Blanks:  a  b \t", "X-Latin: \xe9\xff", "X-Name: caf\xc3\xa9",
    "X-List: a, b,c",
    'X-Quoted: "a, b"', "X-Escapes: %zz%0A", "X-Long: " + "a" * 4000,
    "Cookie: a=1", 'Cookie: b="x y"; c=2', "Cookie: d", "Cookie: e=caf\xc3\xa9", "Accept: text/html, */*;q=0.1",
    "Accept-Encoding: gzip", "User-Agent: a", "User-Agent:", "Authorization: Basic YTpi",
    "Proxy-Authorization: Basic YTpi",
    "TE: trailers", "Connection: keep-alive", "Connection: close", "Connection: X-A", "Connection: close, X-List",
    "Keep-Alive: timeout=5", "Proxy-Connection: close", "Trailer: X-T", "Via: 1.0 a",
    "Forwarded: for=a", "Range: bytes=0-1",
    "If-None-Match: *", "If-Match: a", "Expect: 100-continue", "Prefer: wait=1", "Prefer: return=minimal",
    "X-Forwarded-For: a", "X-Forwarded-Proto: https", "X_A: 1", "SCRIPT_NAME: /books", "X-Strangler-To: service",
    "X-Strangler-Forwarded: 1", "X-Envoy-Max-Retries: 3", "X-HTTP-Method-Override: DELETE", "Date: now", "Server: a",
    "Content-Encoding: gzip", "Content-MD5: a", "Transfer-Foo: a", "Idempotency-Key: k",
]  # fmt: skip
HOSTS = ["library.example"] * 60 + [
    "library.example:80", "LIBRARY.example", "library.example.", "a@library.example", "library.example:99999",
    "library.example:", "elsewhere.example", "[::1]:80", "%6cibrary.example", "a,library.example",
]  # fmt: skip
BODIES = [
    ("", b""), ("application/json", b'{"a": [1, 2]}'), ("application/json; charset=iso-8859-1", b'{"a": "\xe9"}'),
    ("application/x-www-form-urlencoded", b"a=1&a=2&b=caf%C3%A9&c=%zz+%"), ("text/plain", b"a\r\n\r\n0\r\n\r\n"),
    ("multipart/form-data; boundary=b",
    b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\n\xc3\xa9\r\n--b--\r\n'),
    ("a/b; c=d", bytes(range(256)) * 40), ("application/octet-stream", b"\x00" * 70_000),
]  # fmt: skip


def requests(count: int, seed: int) -> Iterator[bytes]:
    """So many, each with an X-Request-Id of its own."""
    dice = random.Random(seed)
    for number in range(count):
        path = dice.choice(BEGINNINGS) + "".join(dice.choices(PATH, k=dice.randrange(4)))
        query = "?" + "".join(dice.choices(QUERY, k=dice.randrange(8))) if dice.random() < 0.7 else ""
        target = f"http://library.example{path}{query}" if dice.random() < 0.05 else path + query
        method, version = dice.choice(METHODS), "1.0" if dice.random() < 0.05 else "1.1"
        headers = [f"Host: {dice.choice(HOSTS)}", f"X-Request-Id: fuzzed-{number}"]
        framing, body = _body(dice, method, version)
        headers += [*framing, *dice.sample(HEADERS, dice.randrange(8))]
        dice.shuffle(headers)
        lines = [f"{method} {target} HTTP/{version}", *headers, "", ""]
        yield "\r\n".join(lines).encode("latin-1") + body


def _body(dice: random.Random, method: str, version: str) -> tuple[list[str], bytes]:
    """Headers that say how it comes, and its bytes."""
    if method in ("GET", "HEAD", "OPTIONS") or dice.random() < 0.1:
        return [], b""
    kind, body = dice.choice(BODIES)
    typed = [f"Content-Type: {kind}"] if kind else []
    if version == "1.0" or dice.random() < 0.6:
        return [*typed, f"Content-Length: {len(body)}"], body
    trailer = b"X-T: 1\r\n" if dice.random() < 0.3 else b""
    return [*typed, "Transfer-Encoding: chunked"], b"".join(_chunks(dice, body)) + b"0\r\n" + trailer + b"\r\n"


def _chunks(dice: random.Random, body: bytes) -> Iterator[bytes]:
    while body:
        size = dice.randrange(1, len(body) + 1)
        extension = b";a=b" if dice.random() < 0.3 else b""
        yield b"%x%s\r\n%s\r\n" % (size, extension, body[:size])
        body = body[size:]
