"""Guards the replay of the recorded log: durations as recorded, pauses short, ids fresh."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from replay import Step, ids_of_replay, steps

ROOT = Path(__file__).parents[2]
RECORDED = (ROOT / "scripts" / "demo" / "audit-log.jsonl").read_text().splitlines()
BEGIN = datetime(2027, 1, 2, 3, 4, 5, 678901, UTC)
FIRST_ROW = "9ab2aa80-03ee-4a19-adef-e01fdd0f4183"
NAMESPACE = uuid.UUID(int=7)


def replay(number: int = 1) -> list[Step]:
    return steps(RECORDED, BEGIN, FIRST_ROW, ids_of_replay(number, NAMESPACE))


def times(line: str) -> tuple[datetime, datetime]:
    event = json.loads(line)
    received, stage = event["requestReceivedTimestamp"], event["stageTimestamp"]
    return datetime.fromisoformat(received), datetime.fromisoformat(stage)


def without_stamps(line: str) -> dict[str, Any]:
    event = json.loads(line)
    del event["requestReceivedTimestamp"], event["stageTimestamp"]
    return dict(event)


def test_the_first_session_begins_when_it_was_told_to() -> None:
    step = next(step for step in replay() if FIRST_ROW in step.line)
    assert times(step.line)[1] == BEGIN == step.at


def test_stamps_of_one_request_keep_their_distances_to_the_microsecond() -> None:
    shifts: dict[str, set[timedelta]] = {}
    for line, step in zip(RECORDED, replay(), strict=True):
        for before, after in zip(times(line), times(step.line), strict=True):
            shifts.setdefault(json.loads(line)["auditID"], set()).add(after - before)
    assert len(shifts) > 50
    assert all(len(found) == 1 for found in shifts.values())


def test_nothing_but_the_stamps_changes_in_the_first_replay() -> None:
    changed = [without_stamps(step.line) for step in replay()]
    assert changed == [without_stamps(line) for line in RECORDED]


def test_idle_pauses_are_short_and_others_as_recorded() -> None:
    recorded = [b - a for a, b in pairwise(times(line)[1] for line in RECORDED)]
    replayed = [b.at - a.at for a, b in pairwise(replay())]
    assert max(recorded) > timedelta(minutes=1)
    assert max(replayed) < timedelta(seconds=7)
    for before, after in zip(recorded, replayed, strict=True):
        assert after == before or timedelta(seconds=2) < after < before


def test_the_whole_replay_takes_minutes_not_hours() -> None:
    assert replay()[-1].at - BEGIN < timedelta(minutes=4)


def test_a_later_replay_has_ids_of_its_own_that_pair_as_before() -> None:
    first, second, third = ([json.loads(s.line)["auditID"] for s in replay(n)] for n in (1, 2, 3))
    assert first == [json.loads(line)["auditID"] for line in RECORDED]
    assert not {*first} & {*second} | {*second} & {*third} | {*first} & {*third}
    assert len({*zip(first, second, strict=True)}) == len({*first}) == len({*second})


@pytest.mark.parametrize("number", [1, 2])
def test_every_line_stays_one_whole_line_of_json(number: int) -> None:
    for step in replay(number):
        assert "\n" not in step.line
        assert json.loads(step.line)["kind"] == "Event"
