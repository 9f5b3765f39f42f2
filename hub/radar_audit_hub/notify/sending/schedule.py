"""When a message is tried again, and for how long a receiver that fails is left alone. Pure.

Owns the sample schedule of Standard Webhooks 1.0.0 and the bounds around it. Called by
`attempting.py` and `job.py`. Never reads a clock and never draws randomness.
"""

from __future__ import annotations

_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
# After the first attempt, which is made at once: ten attempts in a little over three days.
PAUSES_MS = (
    5_000,
    5 * _MINUTE_MS,
    30 * _MINUTE_MS,
    2 * _HOUR_MS,
    5 * _HOUR_MS,
    10 * _HOUR_MS,
    14 * _HOUR_MS,
    20 * _HOUR_MS,
    24 * _HOUR_MS,
)
MAX_ATTEMPTS = len(PAUSES_MS) + 1
_JITTER = 0.1
MAX_RETRY_AFTER_MS = 24 * _HOUR_MS
_FIRST_REST_MS, _MAX_REST_MS = 1_000, 60_000
_MAX_ASKED_REST_MS = _HOUR_MS


def next_due_ms(number: int, now_ms: int, luck: float, retry_after_ms: int | None) -> int | None:
    """Return when to try again after the failed attempt `number` (from 1), None: not any more.

    `luck` in [0, 1) adds up to a tenth, so that what failed together does not come back together.
    What the receiver asks for (`retry_after_ms`) makes it later, by a day at most, never sooner.
    """
    if number >= MAX_ATTEMPTS:
        return None
    pause = int(PAUSES_MS[number - 1] * (1 + _JITTER * luck))
    return now_ms + max(pause, min(retry_after_ms or 0, MAX_RETRY_AFTER_MS))


def rest_ms(failures: int, retry_after_ms: int | None) -> int:
    """Return how long a receiver rests after so many failures in a row (from 1).

    It doubles from a second to a minute, so that a receiver that is down costs little, and
    another message finds out soon that it is back; an hour at most where the receiver asks.
    """
    own = min(_MAX_REST_MS, _FIRST_REST_MS << min(failures - 1, 10))
    return max(own, min(retry_after_ms or 0, _MAX_ASKED_REST_MS))
