"""How many addresses an organization's alerts, or a person's invitations, are mailed to in a day.

Owns `MailBudget`. `Deliveries` holds that of alerts, which `sending/` asks before each mail, `Hub`
those of who invites: whoever may add a destination or make an organization may name anybody's
address, and all send by one server, whose good name nobody must spend alone. Of one replica, and
of its memory alone.
"""

from __future__ import annotations

from collections import Counter

_DAY_MS = 86_400_000


class MailBudget:
    """`per_day` addresses for each organization or person, by days of UTC."""

    def __init__(self, per_day: int) -> None:
        """Start with nothing spent."""
        self.per_day = per_day
        self._day = 0
        self._spent: Counter[str] = Counter()

    def take(self, whose: str, addresses: int, now_ms: int) -> int | None:
        """Spend, or return how long to wait for the next day (ms)."""
        day = now_ms // _DAY_MS
        if day != self._day:
            self._day = day
            self._spent.clear()
        if self._spent[whose] + addresses > self.per_day:
            return (day + 1) * _DAY_MS - now_ms
        self._spent[whose] += addresses
        return None

    def give_back(self, whose: str, addresses: int) -> None:
        """Count what was spent a moment ago as not spent: no server took the mail."""
        self._spent[whose] = max(0, self._spent[whose] - addresses)
