"""Two sources of one project: what a log has seen, and what a document says of it."""

from __future__ import annotations

from dataclasses import replace

from strangler.traffic.known import Known


def merge(known: Known, document: Known) -> Known:
    """What the document has of the requests that are known by their log: bodies, answers and rights."""
    by_shape = {each.shape: each for each in document.requests}
    merged = []
    for request in known.requests:
        other = by_shape.get(request.shape)
        if other is None or (request.body is not None and not request.unknown_body):
            merged.append(request)
            continue
        seen = [doubt for doubt in request.doubts if "answered with" in doubt]
        expected = tuple(dict.fromkeys([*(() if seen else request.expected), *other.expected]))
        merged.append(
            replace(other, path=request.path, count=request.count, expected=expected, doubts=[*other.doubts, *seen])
        )
    return replace(
        known,
        source=f"{known.source} and {document.source}",
        requests=merged,
        scheme=known.scheme if known.scheme is not None else document.scheme,
        header=document.header,
    )
