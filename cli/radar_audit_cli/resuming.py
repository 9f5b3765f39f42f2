"""Where an export that was cut short goes on.

Owns the finding of the last whole event of a partial file, and the leaving out
of events that the file already holds. Called by `export`. Knows the order of
an export (newest first by time); within one millisecond it relies on no order:
it asks for that millisecond again and leaves out the ids that are there.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radar_audit_events.errors import TimeError
from radar_audit_events.ids import format_ms, parse_ms

from .errors import CliError


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The file's whole part is `size_bytes` long and its oldest event is of `time_ms`.

    `seen` are the ids of the events of that very millisecond.
    """

    size_bytes: int
    time_ms: int
    seen: frozenset[str]

    @property
    def until(self) -> str:
        """The exclusive upper bound of what is still to come, RFC 3339."""
        return format_ms(self.time_ms + 1)


def find_resume_point(path: Path) -> ResumePoint | None:
    """Return where the file of JSON lines ends, reading it from its end; None if it has no event.

    Raises CliError if a whole line at the end is no event.
    """
    if path.stat().st_size == 0:
        return None
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        size_bytes = end = content.rfind(b"\n") + 1
        time_ms: int | None = None
        seen = set()
        while end > 0:
            start = content.rfind(b"\n", 0, end - 1) + 1
            line_time_ms, event_id = _identity(content[start:end], path)
            if time_ms is None:
                time_ms = line_time_ms
            elif line_time_ms != time_ms:
                break
            seen.add(event_id)
            end = start
    return None if time_ms is None else ResumePoint(size_bytes, time_ms, frozenset(seen))


def _identity(line: bytes, place: Path | str) -> tuple[int, str]:
    try:
        event: Any = json.loads(line)
        return parse_ms(event["created_at"]), str(event["id"])
    except (ValueError, KeyError, TypeError, TimeError) as exc:
        raise CliError(
            f"a line of {place} is no event", hint="start the export anew with --force"
        ) from exc


class SeenFilter:
    """Passes a continued export on, without the events that the file already holds."""

    def __init__(self, point: ResumePoint | None) -> None:
        """Without a point everything passes."""
        self._point = point
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what of the next piece of the answer is new. Raises CliError."""
        if self._point is None:
            return chunk
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        kept = []
        for number, line in enumerate(lines):
            time_ms, event_id = _identity(line, "the answer")
            if time_ms != self._point.time_ms:
                # From here on everything is older than what the file holds.
                self._point = None
                kept += [*lines[number:], self._rest]
                self._rest = b""
                return b"\n".join(kept)
            if event_id not in self._point.seen:
                kept.append(line)
        return b"".join(line + b"\n" for line in kept)
