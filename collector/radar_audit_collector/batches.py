"""The form of a batch on its way to the hub, and what the hub's answer means for each event.

Owns the encoding of a request (payloads go out as the very bytes that are in the
spool) and the reading of an answer. Called by `deliver`. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from radar_audit_events.ids import format_ms
from radar_audit_events.wire import Gap, IngestAnswer, IngestResult

from .errors import HubUnreachableError
from .spool_records import Refusal, Settlement, StoredEvent, StoredGap

CLOCK_SKEW = "clock_skew"
_MAX_CODE_CHARS = 64
_MAX_MS = 253_402_300_799_999


class _Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """IngestRequest with events that are already encoded."""

    collector_id: str
    batch_id: str
    events: list[msgspec.Raw] = []
    gaps: list[Gap] = []


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(IngestAnswer)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer means: what to settle in the spool, and how often each result came."""

    settlement: Settlement
    results: Counter[str] = field(default_factory=Counter)


def encode_request(
    collector_id: str, batch_id: str, events: Sequence[StoredEvent], gaps: Sequence[StoredGap]
) -> bytes:
    """Return the JSON body of an IngestRequest."""
    return _encoder.encode(
        _Request(
            collector_id,
            batch_id,
            [msgspec.Raw(event.payload) for event in events],
            [_to_wire(gap) for gap in gaps],
        )
    )


def _to_wire(gap: StoredGap) -> Gap:
    return Gap(
        gap_id=gap.gap_id,
        from_time=format_ms(min(max(gap.from_ms, 0), _MAX_MS)),
        to_time=format_ms(min(max(gap.to_ms, 0), _MAX_MS)),
        count=max(gap.count, 1),  # the hub wants a number: where nobody knows it, at least one
        reason=gap.reason,
    )


def read_answer(body: bytes, events: Sequence[StoredEvent], gaps: Sequence[StoredGap]) -> Outcome:
    """Return what the hub's answer means. Raises HubUnreachableError if it is no proper answer.

    An answer with another number of results than events is no answer: guessing
    which result belongs to which event could lose one.
    """
    try:
        results = _decoder.decode(body).results
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise HubUnreachableError("garbage") from None
    if len(results) != len(events):
        raise HubUnreachableError("wrong_count")
    done: list[int] = []
    dead: list[Refusal] = []
    held: list[int] = []
    counts: Counter[str] = Counter()
    for event, result in zip(events, results, strict=True):
        if result.result != "rejected":
            done.append(event.seq)
            counts[result.result] += 1
        elif result.code == CLOCK_SKEW:
            held.append(event.seq)
            counts["skewed"] += 1
        else:
            dead.append(_refusal(event, result))
            counts["rejected"] += 1
    return Outcome(Settlement(done, dead, held, [gap.gap_id for gap in gaps]), counts)


def _refusal(event: StoredEvent, result: IngestResult) -> Refusal:
    return Refusal(event.seq, (result.code or "unknown")[:_MAX_CODE_CHARS], result.message or "")
