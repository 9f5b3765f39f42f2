"""How long an answer of the hub asks to wait before the next request.

Owns the reading of `Retry-After` as the hub writes it: seconds. Called by what runs in the cluster.
"""

from __future__ import annotations

MAX_RETRY_AFTER_SECONDS = 300.0
_MAX_DIGITS = 9


def retry_after_seconds(text: str | None) -> float | None:
    """Return the seconds of the header, at most 300; none, a date or nonsense counts as none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        return None
    return min(float(text), MAX_RETRY_AFTER_SECONDS)
