"""What a message says, apart from how a channel words it: the payload of `notify_message`.

Owns the structure between whoever makes a message (rules that follow the log, Radar's own kinds,
a test) and the channels that render it. Pure: never sends, never holds a secret.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from radar_audit_events.policy_wire import Severity

MAX_EVENTS = 20  # that one message shows; `total` says how many it stands for

Kind = Literal["event", "digest", "notice", "test"]


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message: `title` is one sentence for people, `events` are as the API shows them.

    `event`: one event, or a group that is told as one; `digest`: what a rule gathered, what a
    throttle held back, or what waited for the end of quiet hours; `notice`: one of Radar's own
    kinds, whose facts are `facts`; `test`: asked for by a person. `total` counts the events that
    it stands for, `suppressed` those of them that a throttle held back. Times are RFC 3339.
    `path` is the page of the hub that shows more, below its public URL.
    """

    kind: Kind
    org_id: str
    org_name: str
    owner_id: str
    rule: str
    severity: Severity
    title: str
    path: str
    events: list[dict[str, Any]] = []
    total: int = 1
    suppressed: int = 0
    since: str | None = None
    until: str | None = None
    notice_kind: str | None = None
    facts: dict[str, str | int | bool | None] = {}


_decoder = msgspec.json.Decoder(Content)


def encode(content: Content) -> str:
    """Return the content as the text that is stored."""
    return msgspec.json.encode(content).decode()


def decode(text: str) -> Content:
    """Return what was stored. Raises msgspec.ValidationError for anything else."""
    return _decoder.decode(text)
