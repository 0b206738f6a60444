"""Calls that are made while their caller does something else, for instance another call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import TypeVar

from chassis import settings
from chassis.process import admission

T = TypeVar("T")


def begin(call: Callable[[], T]) -> Callable[[], T]:
    """Makes the call in a thread of its own, with the caller's context.

    What is returned waits for the end of the call, and returns or raises what the call did. The call must not use the
    database: its thread has another session than the caller, and keeps it.
    """
    made = _threads().submit(copy_context().run, call)

    def end() -> T:
        with admission.aside():
            return made.result()

    return end


@cache
def _threads() -> ThreadPoolExecutor:
    """Made by the first call, for threads do not survive the fork of a worker."""
    return ThreadPoolExecutor(settings.threads(), thread_name_prefix="chassis-call")
