"""How a question to the public interface can end otherwise than wished, each with a sentence for the customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BUSY = "The shop is very busy just now."
SILENT = "The shop does not answer just now."
SEVERAL_MINUTES = 120  # seconds


class InterfaceError(Exception):
    """Every error of the interface is one; ``status`` is that of the page which tells of it."""

    status = 502

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class RefusedError(InterfaceError):
    """400, 403, 409, 413, 422: as it is, the request will not succeed. ``fields`` has what is wrong, by field."""

    def __init__(self, sentence: str, *, status: int = 400, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.fields = dict(fields or {})


class LoggedOutError(InterfaceError):
    """401: who asks is not known, or no longer."""

    status = 401


class MissingError(InterfaceError):
    """404."""

    status = 404


class PassingError(InterfaceError):
    """The same may well succeed in a moment; ``after`` is in seconds, where the interface has named them."""

    status = 503

    def __init__(self, sentence: str, *, after: int | None = None) -> None:
        super().__init__(f"{sentence} {_again(after)}")
        self.after = after


class TooOftenError(PassingError):
    """429."""

    status = 429


class NoAnswerError(PassingError):
    """Nobody answered in time; what was asked for may have been done."""


def _again(after: int | None) -> str:
    if not after or after <= 1:
        return "Please try again in a moment."
    if after < SEVERAL_MINUTES:
        return f"Please try again in {after} seconds."
    return f"Please try again in {-(-after // 60)} minutes."
