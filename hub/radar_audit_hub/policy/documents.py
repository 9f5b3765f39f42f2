"""What an owner's document may say: pure.

Owns the checks that the API server's schema cannot make (queries, actions, references, zones) and
all that it can, since not only an operator may call; those of alerts are in `alerts.py`. Called
by the routes of the agent API and of the org's own document. Never stores anything; a message
never repeats a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from radar_audit_events.policy_wire import (
    MAX_AGE_HOURS,
    MAX_HOLDS,
    MAX_OVERRIDES,
    MAX_SHRINK_DELAY_HOURS,
    MIN_AGE_HOURS,
    OwnerDocument,
    RetentionSettings,
)

from .alerts import check_alerts
from .mistakes import NAME, Mistakes, named

MAX_REASON_CHARS = 256
MAX_NAMES = 256
_CLUSTER_TERM = f" cluster:cl_{'x' * 60}"  # the longest that limits a hold to its cluster
_PRINTABLE = re.compile(r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
_MAX_HASH_CHARS = 128


def mistakes_in(
    document: OwnerDocument, *, is_hub: bool, knows_zone: Callable[[str], bool]
) -> Mistakes:
    """Return all that is wrong with a document; `is_hub`: of an AuditHub, not an AuditPolicy."""
    found = Mistakes()
    if not 0 < len(document.uid) <= _MAX_HASH_CHARS or not _PRINTABLE.match(document.uid):
        found.refuse("uid", f"must be 1 to {_MAX_HASH_CHARS} printable characters")
    if not 0 < len(document.spec_hash) <= _MAX_HASH_CHARS or not _PRINTABLE.match(
        document.spec_hash
    ):
        found.refuse("spec_hash", f"must be 1 to {_MAX_HASH_CHARS} printable characters")
    found.bounds("generation", document.generation, 0, 2**53)
    found.time("created_at", document.created_at)
    if document.take_over_from is not None and document.scope != "organization":
        found.refuse("take_over_from", "needs the scope organization")
    if document.capture is not None and not is_hub:
        found.refuse("capture", "stands in the document of an AuditHub only")
    if document.capture is not None:
        for field in ("include_namespaces", "exclude_namespaces"):
            _names(found, f"capture.{field}", getattr(document.capture, field), MAX_NAMES)
    if document.retention is not None:
        check_retention(found, document.retention, document.scope)
    if document.notifications is not None:
        check_alerts(found, document.notifications, document.scope, knows_zone)
    return found


def check_retention(found: Mistakes, asked: RetentionSettings, scope: str) -> None:
    """Note what is wrong with a retention."""
    at = "retention"
    found.bounds(f"{at}.max_age_hours", asked.max_age_hours, MIN_AGE_HOURS, MAX_AGE_HOURS)
    found.bounds(f"{at}.shrink_delay_hours", asked.shrink_delay_hours, 0, MAX_SHRINK_DELAY_HOURS)
    if asked.cluster_overrides is not None and scope != "organization":
        found.refuse(f"{at}.cluster_overrides", "needs the scope organization")
    for place, override in named(found, f"{at}.overrides", asked.overrides, MAX_OVERRIDES):
        found.bounds(f"{place}.max_age_hours", override.max_age_hours, MIN_AGE_HOURS, MAX_AGE_HOURS)
        if not 1 <= len(override.actions) <= 16:
            found.refuse(f"{place}.actions", "must be 1 to 16 actions")
        for pattern in override.actions[:16]:
            found.action(f"{place}.actions", pattern)
    for place, hold in named(found, f"{at}.holds", asked.holds, MAX_HOLDS):
        if not 1 <= len(hold.reason) <= MAX_REASON_CHARS or not _PRINTABLE.match(hold.reason):
            found.refuse(f"{place}.reason", f"must be 1 to {MAX_REASON_CHARS} printable characters")
        room = "" if scope == "organization" else _CLUSTER_TERM
        found.query(f"{place}.query", hold.query, room)
        found.time(f"{place}.until", hold.until)


def _names(found: Mistakes, at: str, names: Sequence[str], limit: int) -> None:
    if len(names) > limit:
        found.refuse(at, f"must be at most {limit}")
    if not all(NAME.match(name) for name in names[:limit]):
        found.refuse(at, "must be names of namespaces")
