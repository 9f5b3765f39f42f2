"""Exceptions of the retention as the page lists them: what is kept now, and what waits: pure.

Owns these rows. Called by the retention's page with the ages that are in force. Never decides an
age, and never reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from radar_audit_events.policy_wire import AgeOverride

from radar_audit_hub.policy.mistakes import actions_of
from radar_audit_hub.retention.in_force import Age


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """An exception: `hours` are kept now, `next_hours` from `due_ms` (Unix ms) on, if it waits.

    `asked_hours` are what it asks for, where the plan allows less.
    """

    name: str
    actions: Sequence[str]
    hours: int
    asked_hours: int | None = None
    next_hours: int | None = None
    due_ms: int | None = None


def exception_rows(
    asked: Sequence[AgeOverride], ages: Sequence[Age], *, ceiling_hours: int, now_ms: int
) -> Iterator[ExceptionRow]:
    """Yield the rows of what is asked for, under the plan's `ceiling_hours` at `now_ms` (Unix ms).

    Of several actions with ages that differ the longest is told.
    """
    for one in asked:
        wanted = min(one.max_age_hours, ceiling_hours)
        waiting = [age for age in _ages_of(one, ages) if age.due_ms and age.due_ms > now_ms]
        row = ExceptionRow(
            name=one.name,
            actions=one.actions,
            hours=wanted,
            asked_hours=one.max_age_hours if one.max_age_hours > ceiling_hours else None,
        )
        if waiting:
            kept = [ceiling_hours if age.hours is None else age.hours for age in waiting]
            row = ExceptionRow(
                name=one.name,
                actions=one.actions,
                hours=min(max(kept), ceiling_hours),
                next_hours=wanted,
                due_ms=max(age.due_ms or 0 for age in waiting),
            )
        yield row


def _ages_of(asked: AgeOverride, ages: Sequence[Age]) -> Iterator[Age]:
    named = {action for pattern in asked.actions for action in actions_of(pattern)}
    return (age for age in ages if age.action in named and age.next_hours == asked.max_age_hours)
