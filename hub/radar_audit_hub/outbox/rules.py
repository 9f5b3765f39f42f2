"""When failed outbox work is tried again: a pure function.

Owns the pauses. Called by `job.py`. Never reads a clock and never draws randomness.
"""

from __future__ import annotations

FIRST_PAUSE_MS = 5_000
MAX_PAUSE_MS = 3_600_000
_MAX_DOUBLINGS = 20


def next_due_ms(attempt: int, give_up_at_ms: int, now_ms: int, luck: float) -> int | None:
    """Return when to try again after the failed `attempt` (from 1), None to give up.

    The pause doubles from 5 s to 1 h; `luck` in [0, 1) takes up to half of it away, so that
    work which failed together does not come back together. Times are Unix ms.
    """
    pause = min(MAX_PAUSE_MS, FIRST_PAUSE_MS << min(attempt - 1, _MAX_DOUBLINGS))
    due = now_ms + int(pause * (1 - luck / 2))
    return None if due >= give_up_at_ms else due
