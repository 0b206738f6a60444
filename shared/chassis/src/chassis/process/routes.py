"""What a route is called in metrics, log lines, spans and the notes for ``strangler doctor``: the same everywhere, so
that who has it from one of them finds it in the others.

It is the urlconf's, and never what a client has written.
"""

from __future__ import annotations

from django.urls import ResolverMatch

NAME_CHARACTERS = 200


def name(match: ResolverMatch | None) -> str | None:
    """The pattern with one slash before it, without a regular expression's ``^``, `bounded`; None where there is no
    pattern."""
    if match is None or match.route is None:
        return None
    return bounded(f"/{match.route.removeprefix('^').removeprefix('/')}")


def bounded(value: str) -> str:
    """A name without control characters, and not longer than `NAME_CHARACTERS`."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value)[
        :NAME_CHARACTERS
    ]
