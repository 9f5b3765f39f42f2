"""A batch on its way from bytes to judged events: decoding and the batch's own bounds, pure.

Owns the envelope of `POST /api/ingest/events`. Called by `ingest/handlers.py`. The envelope is
refused as a whole (422) where it is wrong; an event is decoded on its own, so that a wrong one
is rejected in its place and spoils no other. Never touches the store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec
from radar_audit_events import ids
from radar_audit_events.errors import FieldError, TimeError
from radar_audit_events.wire import MAX_BATCH_EVENTS, Gap, IngestRequest, WireEvent

from radar_audit_hub.bodies import decode_body, named_field
from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.store.collectors import GapRow

from .rules import Expired, Rejected, Source

# Metadata is at most 16 KiB in canonical form; spaces and escapes may treble that.
MAX_EVENT_BYTES = 64 * 1024
MAX_BATCH_GAPS = 100
# Millions of tiny values take thirty times their bytes before anybody can count them. A batch that
# is refused for commas inside its texts passes in halves, as collectors send a refused one.
_MAX_COMMAS = 200 * MAX_BATCH_EVENTS
_NAME = re.compile(r"^[\x21-\x7e]{1,128}\Z")
_REASON = re.compile(r"^[\x20-\x7e]{1,200}\Z")
_MAX_COUNT = 2**53 - 1


class Envelope(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """`wire.IngestRequest` with its events not yet decoded."""

    collector_id: str
    batch_id: str
    events: list[msgspec.Raw] = []
    gaps: list[Gap] = []


_envelope = msgspec.json.Decoder(Envelope)
_event = msgspec.json.Decoder(WireEvent)
_ENVELOPE_FIELDS = (*IngestRequest.__struct_fields__, *Gap.__struct_fields__)


def read_envelope(raw: bytes) -> Envelope:
    """Decode a batch's envelope and check its bounds. Raises InvalidBodyError naming the field."""
    if raw.count(b",") > _MAX_COMMAS:
        raise InvalidBodyError([FieldError("events", "hold far more values than events can have")])
    envelope = decode_body(raw, _envelope, _ENVELOPE_FIELDS)
    errors = [
        FieldError(name, "must be 1 to 128 printable ASCII characters without spaces")
        for name in ("collector_id", "batch_id")
        if not _NAME.match(getattr(envelope, name))
    ]
    if not envelope.events and not envelope.gaps:
        errors.append(FieldError("events", "must hold at least one event, or gaps one gap"))
    if len(envelope.events) > MAX_BATCH_EVENTS:
        errors.append(FieldError("events", f"must hold at most {MAX_BATCH_EVENTS} events"))
    if len(envelope.gaps) > MAX_BATCH_GAPS:
        errors.append(FieldError("gaps", f"must hold at most {MAX_BATCH_GAPS} gaps"))
    if errors:
        raise InvalidBodyError(errors)
    return envelope


def read_event(raw: msgspec.Raw) -> WireEvent | Rejected:
    """Decode one event, or say what is wrong with it."""
    data = memoryview(raw)
    if len(data) > MAX_EVENT_BYTES:
        return Rejected(
            "invalid_event", f"an event must be at most {MAX_EVENT_BYTES} bytes of JSON"
        )
    try:
        return _event.decode(data)
    except msgspec.ValidationError as error:
        wrong = named_field(error, WireEvent.__struct_fields__)
        return Rejected("invalid_event", f"{wrong.field}: {wrong.message}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Rejected("invalid_event", "an event must be a JSON object in UTF-8")


def gap_rows(envelope: Envelope, source: Source) -> list[GapRow]:
    """Return the rows of the batch's gaps. Raises InvalidBodyError naming each wrong field."""
    rows: list[GapRow] = []
    errors: list[FieldError] = []
    for index, gap in enumerate(envelope.gaps):
        place = f"gaps[{index}]."
        times = []
        for name in ("from_time", "to_time"):
            try:
                times.append(ids.parse_ms(getattr(gap, name)))
            except TimeError as error:
                errors.append(FieldError(place + name, str(error)))
        if len(times) == 2 and times[0] > times[1]:
            errors.append(FieldError(place + "to_time", "must not lie before from_time"))
        if not 1 <= gap.count <= _MAX_COUNT:
            errors.append(FieldError(place + "count", "must be at least 1"))
        if not _NAME.match(gap.gap_id):
            errors.append(FieldError(place + "gap_id", "must be 1 to 128 printable characters"))
        if not _REASON.match(gap.reason):
            errors.append(FieldError(place + "reason", "must be 1 to 200 printable characters"))
        if not errors:
            rows.append(
                _row(envelope, source, gap.gap_id, times[0], times[1], gap.count, gap.reason)
            )
    if errors:
        raise InvalidBodyError(errors)
    return rows


def expired_gap(envelope: Envelope, source: Source, expired: Sequence[Expired]) -> GapRow:
    """Return the gap that shows events which came too late; the same events make the same row."""
    digest = hashlib.sha256()
    facts = {event.source_key for event in expired}
    for key in sorted(facts):
        digest.update(key)
    times = [event.created_at_ms for event in expired]
    gap_id = f"expired-{digest.hexdigest()[:32]}"
    return _row(envelope, source, gap_id, min(times), max(times), len(facts), "expired")


def _row(
    envelope: Envelope,
    source: Source,
    gap_id: str,
    from_at_ms: int,
    to_at_ms: int,
    count: int,
    reason: str,
) -> GapRow:
    return GapRow(
        org_id=source.org_id,
        cluster_id=source.cluster_id,
        gap_id=gap_id,
        collector_id=envelope.collector_id,
        from_at_ms=from_at_ms,
        to_at_ms=to_at_ms,
        count=count,
        reason=reason,
        recorded_at_ms=source.now_ms,
    )
