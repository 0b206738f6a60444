from __future__ import annotations

from library import lending  # noqa: F401  it registers what the places do
