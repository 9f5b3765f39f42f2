"""How a cluster's agents are, from their last heartbeats, and how far an upgrade is. Pure.

Owns the thresholds and the words: connected, stale, never; pending, done, failed. Called by
`handlers.py` and `heartbeat.py`. Never reads a clock and never touches the store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from radar_audit_events.ids import format_ms
from radar_audit_events.wire import UpgradeReport

from radar_audit_hub.store.clusters import Upgrade
from radar_audit_hub.store.collectors import SeenCollector

CONNECTED_MS = 90_000  # three heartbeats of a collector's default interval
UPGRADE_DEADLINE_MS = 60 * 60 * 1000  # a rolling update of every agent is over by then
_TOO_LATE = "no collector reported the version within an hour"

Status = Literal["connected", "stale", "never"]


def status_of(last_seen_at_ms: int | None, now_ms: int) -> Status:
    """Return what a last heartbeat (Unix ms, None: there was none) says at `now_ms`."""
    if last_seen_at_ms is None:
        return "never"
    return "connected" if now_ms - last_seen_at_ms <= CONNECTED_MS else "stale"


def agent(collectors: Sequence[SeenCollector], total: int, now_ms: int) -> dict[str, Any]:
    """Return a cluster's agents as the API shows them; the most recently seen comes first."""
    last_seen_at_ms = collectors[0].last_seen_at_ms if collectors else None
    return {
        "status": status_of(last_seen_at_ms, now_ms),
        "last_seen_at": _time(last_seen_at_ms),
        "collectors_total": total,
        "collectors": [_collector(one, now_ms) for one in collectors],
    }


def _collector(one: SeenCollector, now_ms: int) -> dict[str, Any]:
    return {
        "collector_id": one.collector_id,
        "instance_id": one.instance_id,
        "status": status_of(one.last_seen_at_ms, now_ms),
        "version": one.version,
        "sources": msgspec.Raw(one.sources_json.encode()),
        "spool": msgspec.Raw(one.spool_json.encode()),
        "losses": msgspec.Raw(one.losses_json.encode()),
        "open_sessions": one.open_sessions,
        "first_seen_at": format_ms(one.first_seen_at_ms),
        "last_seen_at": format_ms(one.last_seen_at_ms),
    }


def settled(upgrade: Upgrade, now_ms: int) -> Upgrade:
    """Return an upgrade as it is at `now_ms`: one whose time is over has failed."""
    deadline_ms = upgrade.requested_at_ms + UPGRADE_DEADLINE_MS
    if not is_pending(upgrade) or now_ms <= deadline_ms:
        return upgrade
    return dataclasses.replace(upgrade, failed_at_ms=deadline_ms, failure=_TOO_LATE)


def is_pending(upgrade: Upgrade) -> bool:
    """Tell whether an upgrade is neither done nor failed."""
    return upgrade.done_at_ms is None and upgrade.failed_at_ms is None


def reported(
    upgrade: Upgrade, report: UpgradeReport | None, versions: Iterable[str], now_ms: int
) -> Upgrade:
    """Return a pending upgrade as it stands after a heartbeat.

    `versions` are those of all connected collectors: it is done when none of them is behind. A
    report about another version is an old one.
    """
    if set(versions) == {upgrade.version}:
        return dataclasses.replace(upgrade, done_at_ms=now_ms)
    if report is None or report.version != upgrade.version:
        return upgrade
    if report.failure is not None:
        return dataclasses.replace(upgrade, failed_at_ms=now_ms, failure=report.failure)
    if upgrade.seen_at_ms is None:
        return dataclasses.replace(upgrade, seen_at_ms=now_ms)
    return upgrade


def public_upgrade(upgrade: Upgrade | None, now_ms: int) -> dict[str, Any] | None:
    """Return an upgrade as the API shows it at `now_ms`."""
    if upgrade is None:
        return None
    now = settled(upgrade, now_ms)
    state = "pending" if is_pending(now) else "failed" if now.done_at_ms is None else "done"
    return {
        "version": now.version,
        "state": state,
        "requested_at": format_ms(now.requested_at_ms),
        "seen_at": _time(now.seen_at_ms),
        "ended_at": _time(now.failed_at_ms if now.done_at_ms is None else now.done_at_ms),
        "failure": now.failure,
    }


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_ms(time_ms)
