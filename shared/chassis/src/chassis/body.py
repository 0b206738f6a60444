"""A request's body, read whole and kept for as often as it is needed."""

from __future__ import annotations

import shutil
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest


class Body:
    """``with Body(request) as body``: large ones are kept in a file, so that no limit of Django's is taken away.

    Raises:
        UnreadablePostError: when the client ends in the middle of it.
    """

    def __init__(self, request: WSGIRequest) -> None:
        self._file = SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115
        shutil.copyfileobj(request, self._file)
        self.length = self._file.tell()

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def open(self) -> IO[bytes]:
        """From its first byte; one reader at a time."""
        self._file.seek(0)
        return self._file
