"""Files of ``PROMETHEUS_MULTIPROC_DIR`` that a full disk does not turn into a SIGBUS.

prometheus_client writes its samples into mapped files with holes. The first write to a hole on a full disk ends the
process by SIGBUS, in the middle of a request. Here the blocks of a file are taken before it is mapped; if there are
none left, the samples of this process are kept in memory, where no scrape sees them.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
FIRST_BYTES = 1 << 16  # what prometheus_client begins a file with
# Beside its key, a sample has the key's length, its padding, the value and the time.
SAMPLE_BYTES = 4 + 8 + 16
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def guard() -> None:
    """From now on files of samples are whole on their disk; nothing happens where samples are not kept in files.

    Files that this process has opened before get their blocks now, if there are any.
    """
    if not os.environ.get(VARIABLE) or not (hasattr(os, "posix_fallocate") and hasattr(os, "memfd_create")):
        return
    from prometheus_client import values

    whole: Any = values
    whole.MmapedDict = _guarded(whole.MmapedDict)
    for path in Path(os.environ[VARIABLE]).glob(f"*_{os.getpid()}.db"):
        with suppress(OSError), path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(FIRST_BYTES, path.stat().st_size))


def _guarded(plain: Any) -> Any:
    class Allocated(plain):  # type: ignore[misc]
        """The same dictionary, whose file has all its blocks, or is in memory."""

        _f: Any
        _m: Any

        def __init__(self, filename: str, read_mode: bool = False) -> None:
            if read_mode or _has_blocks(filename):
                super().__init__(filename, read_mode)
                return
            with _in_memory(filename) as place:
                super().__init__(place)

        def _init_value(self, key: str) -> None:
            size = self._capacity
            while size < self._used + len(key.encode()) + SAMPLE_BYTES:
                size *= 2
            if size > self._capacity and not _allocate(self._f.fileno(), size):
                held = bytes(self._m)
                self._m.close()
                self._f.close()
                with _in_memory(self._fname) as place:
                    self._f = open(place, "r+b")  # noqa: SIM115  as long as the process lives
                self._f.write(held)
                self._f.flush()
                self._m = mmap.mmap(self._f.fileno(), len(held))
            super()._init_value(key)

    return Allocated


def _has_blocks(filename: str) -> bool:
    with open(filename, "a+b") as file:
        if _allocate(file.fileno(), max(FIRST_BYTES, os.fstat(file.fileno()).st_size)):
            return True
    # An empty file would be an error for who reads the folder.
    Path(filename).unlink(missing_ok=True)
    return False


def _allocate(descriptor: int, size: int) -> bool:
    """False: there is no room. A file system that cannot be asked counts as one that has room."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        return error.errno not in FULL
    return True


@contextmanager
def _in_memory(filename: str) -> Iterator[str]:
    """The path of a new file in memory, which exists until the last who has opened it closes it."""
    logger.warning("samples_kept_in_memory", extra={"file": filename, "reason": "the disk is full"})
    descriptor = os.memfd_create(Path(filename).name)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
