"""What goes into the spool and what comes out of it.

Owns the value types of the spool. Called by `spool`, `intake` and `deliver`.
Never holds SQL, and never shows a payload in a `repr`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be kept: its time (Unix ms), the org its groups claim, its wire form."""

    at_ms: int
    claimed_org: str | None
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewGap:
    """A loss to be recorded: `count` events between two times (Unix ms); 0: nobody knows."""

    reason: str
    from_ms: int
    to_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in the spool; `seq` is its place in the order and its name in `settle`."""

    seq: int
    at_ms: int
    claimed_org: str | None
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredGap:
    """`count` events were lost between two times (Unix ms); count 0: nobody knows how many."""

    gap_id: str
    from_ms: int
    to_ms: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The hub refused event `seq` for good, with a code and a sentence."""

    seq: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused event as it is kept for an admin, with the time of the refusal (Unix ms)."""

    seq: int
    at_ms: int
    refused_ms: int
    code: str
    message: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of events: `done` leave, `dead` are put aside, `held` wait; `gaps` leave."""

    done: Sequence[int] = ()
    dead: Sequence[Refusal] = ()
    held: Sequence[int] = ()
    gaps: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """Depth of the spool.

    `events` includes the `held` ones; `bytes` is what they and the state use,
    without the reserve that belongs to the bound as well;
    `oldest_at_ms` is the time of the first event in order, null when empty.
    """

    events: int = 0
    held: int = 0
    bytes: int = 0
    oldest_at_ms: int | None = None
    dead_letters: int = 0
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class DurableState:
    """State keys with their values, and the fence that appends built on them must carry.

    When one append fails, every later one that carries the same fence fails too:
    it was computed from changes that were never stored.
    """

    fence: int
    values: dict[str, bytes] = field(repr=False)
