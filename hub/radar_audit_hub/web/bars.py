"""From counts over time to the bars of a drawing and the rows of its table: pure.

Owns how long a stretch of a range is and where each bar stands. Called by the Activity page.
Never counts and never reads a clock; the template draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from .zones import local

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
STEPS_MS = (
    _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 7 * _DAY, 28 * _DAY,
)  # fmt: skip
_MOST_BARS = 60
WIDTH, HEIGHT = 960, 72  # of the drawing, in its own units
_GAP = 0.22  # of a bar's place, left empty


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch: [from_ms, to_ms), and the rectangle that stands for it."""

    from_ms: int
    to_ms: int
    count: int
    counted: bool
    x: float
    y: float
    width: float
    height: float
    label: str


def step_for(from_ms: int, to_ms: int) -> int:
    """Return the shortest step (ms) with which a range has at most 60 bars."""
    return next((s for s in STEPS_MS if (to_ms - from_ms) / s <= _MOST_BARS), STEPS_MS[-1])


def bars(
    counts: dict[int, int],
    step_ms: int,
    *,
    from_ms: int,
    to_ms: int,
    counted_from_ms: int,
    zone: ZoneInfo,
) -> list[Bar]:
    """Return a bar for each stretch of [from_ms, to_ms), also where nothing was counted."""
    first = from_ms // step_ms * step_ms
    begins = list(range(first, to_ms, step_ms))
    most = max(counts.values(), default=0) or 1
    place = WIDTH / max(len(begins), 1)
    made = []
    for number, begin in enumerate(begins):
        count = counts.get(begin, 0)
        height = max(count / most * HEIGHT, 2.0) if count else 0.0
        made.append(
            Bar(
                from_ms=max(begin, from_ms),
                to_ms=min(begin + step_ms, to_ms),
                count=count,
                counted=begin + step_ms > counted_from_ms,
                x=round(number * place + place * _GAP / 2, 2),
                y=round(HEIGHT - height, 2),
                width=round(place * (1 - _GAP), 2),
                height=round(height, 2),
                label=label(begin, step_ms, zone),
            )
        )
    return made


def label(begin_ms: int, step_ms: int, zone: ZoneInfo) -> str:
    """Return what a stretch is called: a day (of UTC) or days, or a time of the reader's clock."""
    if step_ms >= _DAY:
        found = local(begin_ms, ZoneInfo("UTC"))
        day = f"{found.day} {found:%b %Y}"
        return f"{day} (UTC)" if step_ms == _DAY else f"{step_ms // _DAY} days from {day} (UTC)"
    found = local(begin_ms, zone)
    end = local(begin_ms + step_ms, zone)
    return f"{found.day} {found:%b, %H:%M} to {end:%H:%M}"
