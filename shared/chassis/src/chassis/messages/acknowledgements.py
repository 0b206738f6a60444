"""Which deliveries of one channel have been dealt with, told to the broker in as few words as possible."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable
from typing import Any

EVERY_SECONDS = 0.02  # between two acknowledgements while messages come
TOGETHER_DELIVERIES = 50  # so many finished deliveries are acknowledged at once, or half of a window that is smaller
BEHIND_SECONDS = 0.1  # so long do finished deliveries wait for an unfinished one before them


class Acknowledgements:
    """Belongs to the thread that reads the channel; other threads may only call `finish`.

    Where the broker counts deliveries (``ordered``), one acknowledgement covers all deliveries up to a tag. The broker
    delivers no more than ``window`` messages that are not acknowledged.
    """

    def __init__(self, channel: Any, *, ordered: bool, window: int = 2 * TOGETHER_DELIVERIES) -> None:
        self._channel = channel
        self._ordered = ordered
        self._half = max(1, window // 2)
        self._open: deque[Hashable] = deque()
        self._finished: deque[Hashable] = deque()
        self._waiting: set[Hashable] = set()
        self._told: set[Hashable] = set()
        self._last = time.monotonic()
        self._behind_since = 0.0

    def expect(self, tag: Hashable) -> None:
        """A message was delivered under this tag."""
        self._open.append(tag)

    def finish(self, tag: Hashable) -> None:
        """The message needs no second delivery."""
        self._finished.append(tag)

    @property
    def outstanding(self) -> bool:
        """Whether the broker still waits to hear of a delivery."""
        return bool(self._open)

    @property
    def is_crowded(self) -> bool:
        """Whether the broker may soon deliver nothing before it hears of a delivery."""
        return len(self._open) >= self._half

    def flush_if_due(self) -> None:
        """Acknowledges what is finished, when there is enough of it or some time has passed; raises the transport's
        errors."""
        due = time.monotonic() - self._last >= EVERY_SECONDS
        enough = len(self._finished) >= min(TOGETHER_DELIVERIES, self._half)
        if (self._finished and (due or enough)) or (self._waiting and due):
            self.flush()

    def flush(self, *, all: bool = False) -> None:
        """Acknowledges what is finished; with ``all`` also what is behind an unfinished delivery."""
        self._last = time.monotonic()
        held = bool(self._waiting)
        while self._finished:
            self._waiting.add(self._finished.popleft())
        if self._ordered:
            self._flush_front()
        if not held:
            self._behind_since = self._last
        if not self._ordered or all or self._last - self._behind_since >= BEHIND_SECONDS:
            self._flush_behind()

    def give_back(self) -> None:
        """Gives all unfinished deliveries back, before the channel is closed. A broker that counts does so by itself;
        not every other broker does."""
        if self._ordered:
            return
        # The last one first, because each goes to the front of the queue.
        for tag in reversed(self._open):
            self._channel.basic_reject(tag, requeue=True)
        self._open.clear()

    def _flush_front(self) -> None:
        last = None
        while self._open and (self._open[0] in self._waiting or self._open[0] in self._told):
            tag = self._open.popleft()
            if tag in self._told:
                self._told.discard(tag)
            else:
                self._waiting.discard(tag)
                last = tag
        if last is not None:
            self._channel.basic_ack(last, multiple=True)

    def _flush_behind(self) -> None:
        for tag in self._waiting:
            self._channel.basic_ack(tag)
        if self._ordered:
            self._told |= self._waiting
        else:
            self._open = deque(tag for tag in self._open if tag not in self._waiting)
        self._waiting.clear()
