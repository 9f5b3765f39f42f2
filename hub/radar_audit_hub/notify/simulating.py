"""What a rule would have told of events that were: the judging of rules, played through. Pure.

Owns the clock of the play: each event is judged at the time of its commit, and what waits is
released when it was due. Called by the preview. Never reads the store; nothing of it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .finding import Seen
from .judging import Judge, Memory
from .rules import Rule, RuleSet

_MOST_RELEASES = 100_000  # far above what 30 days of windows come to


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a rule's events: the messages to each destination, events held back."""

    messages: int
    suppressed: int


def play(rule: Rule, events: Sequence[Seen]) -> Played:
    """Return what a rule with one route would have told of events, which are in commit order.

    What still waits at the end is counted as told later.
    """
    judge = Judge(RuleSet((rule,)), Memory(), 0)
    for seen in events:
        _release_until(judge, seen.recorded_at_ms)
        judge.now_ms = max(judge.now_ms, seen.recorded_at_ms)
        judge.take(rule, seen)
    _release_until(judge, None)
    return Played(len(judge.drafts), sum(judge.suppressed.values()))


def _release_until(judge: Judge, until_ms: int | None) -> None:
    """Release what is due by a time (Unix ms; None: ever), each when it is."""
    for _ in range(_MOST_RELEASES):
        due_ms = min((window.due_ms for window in judge.memory.windows.values()), default=None)
        if due_ms is None or (until_ms is not None and due_ms > until_ms):
            return
        judge.now_ms = max(judge.now_ms, due_ms)
        judge.flush()
