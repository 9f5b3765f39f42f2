"""What a page says about events that are no longer kept: pure.

Owns the sentence. Called by the Activity page with the floors that are in force; it decides
nothing about what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_hub.retention.policy import DAY_MS, PLAN_DAYS, Floors

from .log_filter import LogFilter

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Notice:
    """The sentence; `reaches` tells whether the filter asks for more than is kept."""

    sentence: str
    reaches: bool


def retention_words(plan: str, found: LogFilter, floors: Floors, now_ms: int) -> Notice:
    """Return what to say about the age that is in force at `now_ms` (Unix ms) on a plan."""
    age_ms = now_ms - floors.default_ms
    whole_days, rest_ms = divmod(age_ms, DAY_MS)
    age = _plural(whole_days, "day") if not rest_ms else _plural(age_ms // _HOUR_MS, "hour")
    by = "by this organization's retention settings"
    if age_ms == PLAN_DAYS[plan] * DAY_MS:
        by = f"on the {plan.capitalize()} plan"
    sentence = f"Events older than {age} are not kept {by}."
    if len(floors.exceptions) > 1 or floors.clusters:
        sentence += " Some actions or clusters have an age of their own."
    if floors.held:
        sentence += " A legal hold keeps some for longer."
    return Notice(sentence, found.span(now_ms, 0)[0] < floors.default_ms)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
