"""How many addresses an organization's alerts may have mails sent to in a day.

Owns `MailBudget`. `Deliveries` holds it, and `sending/` asks it before each mail: whoever may add a
destination may name anybody's address, and all organizations send by one server, whose good name
one of them must not spend. Of one replica, and of its memory alone.
"""

from __future__ import annotations

from collections import Counter

_DAY_MS = 86_400_000


class MailBudget:
    """`per_day` addresses an organization, by days of UTC."""

    def __init__(self, per_day: int) -> None:
        """Start with nothing spent."""
        self.per_day = per_day
        self._day = 0
        self._spent: Counter[str] = Counter()

    def take(self, org_id: str, addresses: int, now_ms: int) -> int | None:
        """Spend, or return how long the organization has to wait for the next day (ms)."""
        day = now_ms // _DAY_MS
        if day != self._day:
            self._day = day
            self._spent.clear()
        if self._spent[org_id] + addresses > self.per_day:
            return (day + 1) * _DAY_MS - now_ms
        self._spent[org_id] += addresses
        return None

    def give_back(self, org_id: str, addresses: int) -> None:
        """Count what was spent a moment ago as not spent: no server took the mail."""
        self._spent[org_id] = max(0, self._spent[org_id] - addresses)
