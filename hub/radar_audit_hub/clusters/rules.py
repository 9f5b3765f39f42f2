"""What a heartbeat may say: bounds on every field, as a pure function.

Owns the limits of `POST /api/agent/heartbeat`. Called by `clusters/heartbeat.py`. Never reads a
clock, never touches the store.
"""

from __future__ import annotations

import re

from radar_audit_events import ids
from radar_audit_events.errors import FieldError, TimeError
from radar_audit_events.wire import HeartbeatRequest, UpgradeReport

MAX_SOURCES = 16
MAX_LOSSES = 100
MAX_FAILURE_CHARS = 300
MAX_OPEN_SESSIONS = 2000  # what one gateway may hold open
_NAME = re.compile(r"^[\x21-\x7e]{1,128}\Z")
_NAME_TEXT = "must be 1 to 128 printable ASCII characters without spaces"
_SENTENCE = re.compile(rf"^[\x20-\x7e]{{1,{MAX_FAILURE_CHARS}}}\Z")
_MAX_COUNT = 2**53 - 1
_NUMBERS = ("events", "bytes", "dead_letters")


def heartbeat_errors(sent: HeartbeatRequest) -> list[FieldError]:
    """Return what is wrong with a heartbeat, field by field; empty if nothing is."""
    errors = [
        FieldError(name, _NAME_TEXT)
        for name in ("collector_id", "instance_id", "version")
        if not _NAME.match(getattr(sent, name))
    ]
    if sent.capture_hash is not None and not _NAME.match(sent.capture_hash):
        errors.append(FieldError("capture_hash", _NAME_TEXT))
    if sent.upgrade is not None:
        errors += _upgrade_errors(sent.upgrade)
    for name, values, limit in (
        ("sources", sent.sources, MAX_SOURCES),
        ("losses", sent.losses, MAX_LOSSES),
        ("open_sessions", sent.open_sessions, MAX_OPEN_SESSIONS),
    ):
        if len(values) > limit:
            errors.append(FieldError(name, f"must hold at most {limit} entries"))
        elif not all(_NAME.match(value) for value in values):
            errors.append(FieldError(name, f"each name {_NAME_TEXT}"))
    counts = {f"spool.{name}": getattr(sent.spool, name) for name in _NUMBERS}
    counts |= {f"losses.{name}": count for name, count in sent.losses.items()}
    errors += [
        FieldError(name[:140], "must be a count from 0")
        for name, count in counts.items()
        if not 0 <= count <= _MAX_COUNT
    ]
    for name, text in (("sent_at", sent.sent_at), ("spool.oldest_at", sent.spool.oldest_at)):
        try:
            ids.parse_ms(text if text is not None else "1970-01-01T00:00:00Z")
        except TimeError as error:
            errors.append(FieldError(name, str(error)))
    return errors


def _upgrade_errors(report: UpgradeReport) -> list[FieldError]:
    errors = []
    if not _NAME.match(report.version):
        errors.append(FieldError("upgrade.version", _NAME_TEXT))
    if report.failure is not None and not _SENTENCE.match(report.failure):
        form = f"must be 1 to {MAX_FAILURE_CHARS} printable ASCII characters"
        errors.append(FieldError("upgrade.failure", form))
    return errors
