"""Paths as clients may write them, and as a Django process reads them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from django.utils.encoding import repercent_broken_unicode

PIECES = [
    "/", "/", "/", "%2F", "%2f", "%252F", "%", "%2", "%zz", "%25", "%5C", "//", ";v=1", ";", ":", "%3A", "+", "%20",
    "%0A", "%0D", "%0a%0d", "%09", "%7F", "%7f", "%01", "%85", "%C2%85", "%E2%80%A8", "%FF", "%C0%AF", "%e0%80%af",
    "%C3%A9", "%c3%a9", "%c3%A9", "%E5%95%86", "%ED%A0%80", "a", "7", "%37", "things", "th%69ngs", "THINGS", "parts",
    ".", "...", "a.", "..a", "%2e", "~", "%7E", "&", "=", "@", ",", "'", "(", "!", "$",
]  # fmt: skip


def written(count: int, seed: int) -> Iterator[str]:
    """So many paths, the same for the same seed; many begin like paths that a capability claims."""
    dice = random.Random(seed)
    for _ in range(count):
        begin = dice.choice(
            ["/things", "/things/", "/things%2F", "/th%69ngs/", "/things%2f%2F", "//things", "/", "/caf"]
        )
        yield begin + "".join(dice.choices(PIECES, k=dice.randrange(5)))


def decoded(path: str) -> str:
    """Like Django's ``path_info``: bytes that are no UTF-8 stay escaped."""
    return repercent_broken_unicode(unquote_to_bytes(path)).decode()
