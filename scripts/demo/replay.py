"""When each line of a recorded audit log is written again, and with which stamps.

Owns the arithmetic, pure: no clock, no file. `run.py` calls it. Lines are changed in their two
stamps and, from the second replay on, in their audit id; every other byte stays as recorded.
Never changes how long a session lasted.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_LONGEST_PAUSE = timedelta(seconds=2)
# Longer than two seconds, because two refused tries within two seconds count as one.
_SHORTENED_PAUSE = timedelta(seconds=2.05)
_STAMP = re.compile(r'("(?:requestReceived|stage)Timestamp":")([^"]+)"')
_AUDIT_ID = re.compile(r'("auditID":")([^"]+)"')


@dataclass(frozen=True)
class Step:
    """One line of the replay and the time to write it: the time of its stage, shifted."""

    at: datetime
    line: str


def audit_id_of(line: str) -> str:
    """Return the audit id of a line of the log; KeyError or ValueError when it has none."""
    return str(json.loads(line)["auditID"])


def stage_time_of(line: str) -> datetime:
    """Return the time of the line's stage; KeyError or ValueError when it has none."""
    return datetime.fromisoformat(json.loads(line)["stageTimestamp"])


def steps(
    lines: Iterable[str], begin: datetime, first_row: str, new_id: Callable[[str], str]
) -> list[Step]:
    """Return the replay in the lines' order.

    The request whose audit id is `first_row` comes at `begin`; what was recorded before it lies
    in the past. `new_id` turns a recorded audit id into that of this replay. A pause of more than
    two seconds in which no request was open is shortened, for all later lines alike, so the
    stamps of one request keep their distances to the microsecond.
    """
    kept = list(lines)
    offsets = _offsets(kept)
    start = next(
        stage_time_of(line) - offset
        for line, offset in zip(kept, offsets, strict=True)
        if audit_id_of(line) == first_row
    )
    shifts = [begin - start - offset for offset in offsets]
    return [
        Step(stage_time_of(line) + shift, _shifted(line, shift, new_id))
        for line, shift in zip(kept, shifts, strict=True)
    ]


def ids_of_replay(number: int, namespace: uuid.UUID) -> Callable[[str], str]:
    """Return the audit ids of the replay `number`: as recorded in the first, then fresh ones.

    They depend on `namespace` (one per data folder) and `number` alone.
    """
    if number == 1:
        return lambda recorded: recorded
    return lambda recorded: str(uuid.uuid5(namespace, f"{number}/{recorded}"))


def _offsets(lines: list[str]) -> list[timedelta]:
    """Return for each line by how much the pauses before it are shortened in all."""
    last_line = {audit_id_of(line): number for number, line in enumerate(lines)}
    cut, offsets = timedelta(), list[timedelta]()
    newest = stage_time_of(lines[0])
    open_ids = set[str]()
    for number, line in enumerate(lines):
        pause = stage_time_of(line) - newest
        if pause > _LONGEST_PAUSE and not open_ids:
            cut += max(pause - _SHORTENED_PAUSE, timedelta())
        offsets.append(cut)
        newest = max(newest, stage_time_of(line))
        open_ids.add(audit_id_of(line))
        if last_line[audit_id_of(line)] == number:
            open_ids.discard(audit_id_of(line))
    return offsets


def _shifted(line: str, shift: timedelta, new_id: Callable[[str], str]) -> str:
    def stamp(found: re.Match[str]) -> str:
        moved = (datetime.fromisoformat(found[2]) + shift).astimezone(UTC)
        return f'{found[1]}{moved.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}"'

    with_stamps = _STAMP.sub(stamp, line)
    return _AUDIT_ID.sub(lambda found: f'{found[1]}{new_id(found[2])}"', with_stamps, count=1)
