"""The ages of an org's retention that are in force, as its row in the store keeps them: pure.

Owns the form of that text and which age a class of events has at a moment. Written by the
audit policy (`policy/`), read wherever the log is read or purged. Never reads a clock, and never
knows whose settings they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec
from radar_audit_events.query import Created, Query, parse

HOUR_MS = 3_600_000
_KEPT_TEXTS = 1024  # orgs whose settings were read last


class Age(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long one class of events is kept: those of an action and a cluster (null: of any other).

    `hours` null means as long as the plan gives. From `due_ms` (Unix ms) on it is `next_hours`:
    a shorter age waits until then.
    """

    hours: int | None
    cluster_id: str | None = None
    action: str | None = None
    next_hours: int | None = None
    due_ms: int | None = None

    def hours_at(self, now_ms: int) -> int | None:
        """Return the hours at `now_ms` (Unix ms), None for the plan's."""
        return self.next_hours if self.is_due(now_ms) else self.hours

    def is_due(self, now_ms: int) -> bool:
        """Tell whether a shorter age has come into force."""
        return self.due_ms is not None and self.due_ms <= now_ms


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a legal hold keeps: events that `query` finds (empty: all), to `until_ms` (Unix ms).

    With a `cluster_id`, only those of that cluster.
    """

    query: str = ""
    until_ms: int | None = None
    cluster_id: str | None = None

    @property
    def text(self) -> str:
        """The query with the cluster in it."""
        return self.query if self.cluster_id is None else f"{self.query} cluster:{self.cluster_id}"

    @property
    def weight(self) -> int:
        """How much of a database's query it takes: one, and one for each value compared with."""
        terms = _parsed(self.text).terms
        return 1 + sum(1 if isinstance(term, Created) else len(term.values) for term in terms)

    def lasts(self, now_ms: int) -> bool:
        """Tell whether it keeps anything at `now_ms` (Unix ms)."""
        return self.until_ms is None or self.until_ms > now_ms


class InForce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that deviates from the plan; one without ages and holds is the plan itself."""

    ages: tuple[Age, ...] = ()
    holds: tuple[Held, ...] = ()

    def queries_at(self, now_ms: int) -> Iterator[Query]:
        """Yield what the holds that last at `now_ms` (Unix ms) select."""
        for hold in self.holds:
            if hold.lasts(now_ms):
                yield _parsed(hold.text)


NOTHING = InForce()
_decoder = msgspec.json.Decoder(InForce)


def write(settings: InForce) -> str | None:
    """Return the text for the store, None where the plan alone counts."""
    if settings == NOTHING:
        return None
    return msgspec.json.encode(settings).decode()


@lru_cache(maxsize=_KEPT_TEXTS)
def read(text: str | None) -> InForce:
    """Return what `write` wrote. Raises msgspec.ValidationError for anything else."""
    return NOTHING if text is None else _decoder.decode(text)


@lru_cache(maxsize=_KEPT_TEXTS)
def _parsed(query: str) -> Query:
    return parse(query)
