"""What the hub answers to the operator's calls.

Owns the answer structures of `PUT owners/{ownerId}`, `GET settings`, `POST
operator-heartbeat` and the test of a destination; the requests are in
`policy_wire.py`. Called by the hub (encodes) and the operator (decodes, and
ignores what a newer hub adds). Never holds a secret.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .policy_wire import AgeOverride


class _Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of an answer: an older operator ignores what a newer hub adds."""


class Holder(_Answer, frozen=True, kw_only=True):
    """Who holds a key of the retention, since when (RFC 3339); stale: silent for seven days."""

    owner_id: str
    since: str
    cluster_name: str | None = None
    is_stale: bool = False


class Pending(_Answer, frozen=True, kw_only=True):
    """A shorter age that comes into force `at` (RFC 3339) and would then take so many events."""

    effective_hours: int
    at: str
    would_delete: int


class RetentionState(_Answer, frozen=True, kw_only=True):
    """What became of an owner's retention.

    `key` is `org` or `cluster/<id>`. `state`: `held` (this owner's age is the key's),
    `conflict` (another owner of this cluster holds it), `owned_elsewhere` (one of another
    cluster, or the org itself), `none` (no age asked for). `takeover` tells how
    `take_over_from` ended. `would_delete` counts events that the asked age would take
    (`is_estimate`: at least so many).
    """

    key: str
    state: Literal["held", "conflict", "owned_elsewhere", "none"]
    ceiling_hours: int
    effective_hours: int
    holder: Holder | None = None
    requested_hours: int | None = None
    is_clamped: bool = False
    has_holds: bool = False
    would_delete: int = 0
    is_estimate: bool = False
    oldest_kept: str | None = None
    pending: Pending | None = None
    takeover: Literal["taken", "holder_differs"] | None = None


class Override(_Answer, frozen=True, kw_only=True):
    """An org owner broke the glass at the hub: his settings stand `until` (RFC 3339)."""

    by: str
    until: str


class DestinationState(_Answer, frozen=True, kw_only=True):
    """How one destination stands: `summary` of its deliveries and the last of each kind.

    `state`: `never_used`, `delivering`, `failing` (the last try failed), `disabled` (the
    receiver answered 410), `no_secret` (none was ever sent), `invalid` (refused at once,
    `last_error` says why). Times are RFC 3339; `last_error` is a sentence without a secret.
    """

    name: str
    state: Literal["never_used", "delivering", "failing", "disabled", "no_secret", "invalid"]
    last_delivery_at: str | None = None
    last_error_at: str | None = None
    last_error: str | None = None
    pending: int = 0
    suppressed: int = 0


class CaptureState(_Answer, frozen=True, kw_only=True):
    """The capture settings in force and how far the collectors are.

    `etag` is `capture_etag` of what is in force; `is_required_held_back`: `required` is asked
    for but not in force, as a collector is not healthy.
    """

    etag: str
    is_required_held_back: bool = False


class OwnerAnswer(_Answer, frozen=True, kw_only=True):
    """The answer to a PUT, also with `?dryRun=true` (`result` is then `dry_run`).

    `would_have_sent` is a dry run's: by alert rule, how many messages the last seven days would
    have led to for each of its destinations, or at least so many where there were very many.
    """

    result: Literal["stored", "unchanged", "dry_run"]
    revision: str
    org_id: str
    retention: RetentionState | None = None
    destinations: list[DestinationState] = []
    capture: CaptureState | None = None
    overridden: Override | None = None
    would_have_sent: dict[str, int] = {}


class KeyState(_Answer, frozen=True, kw_only=True):
    """One key of the retention: who holds it and what it comes to."""

    key: str
    effective_hours: int
    holder: Holder | None = None
    requested_hours: int | None = None
    pending: Pending | None = None


class SettingsAnswer(_Answer, frozen=True, kw_only=True):
    """`GET settings` (ETag is the revision): whose token this is, and what is in force.

    `scopes` are the token's; the operator shows a missing one as a condition.
    """

    revision: str
    now: str
    org_id: str
    cluster_id: str
    cluster_name: str
    plan: str
    ceiling_hours: int
    scopes: list[str]
    keys: list[KeyState] = []
    overrides: list[AgeOverride] = []
    capture: CaptureState | None = None
    overridden: Override | None = None


class CollectorState(_Answer, frozen=True, kw_only=True):
    """One collector of the cluster; `capture_hash` is the etag of the settings it runs with."""

    collector_id: str
    version: str
    last_seen_at: str
    is_healthy: bool
    capture_hash: str | None = None


class OwnerState(_Answer, frozen=True, kw_only=True):
    """How an owner's document stands now: a claim may have been promoted, an age shrunk."""

    owner_id: str
    retention: RetentionState | None = None
    destinations: list[DestinationState] = []


class ReleaseBlocked(_Answer, frozen=True, kw_only=True):
    """`missing` of `known` owners vanished at once: none is released before an admin agrees."""

    missing: int
    known: int
    since: str


class OperatorHeartbeatAnswer(_Answer, frozen=True, kw_only=True):
    """The answer to an operator's heartbeat.

    `drifted` are owners whose stored document is not the one named: they are sent again.
    `released` are owners that were released since the last one. `states` has one entry per
    live owner with a document.
    """

    now: str
    revision: str
    org_id: str
    cluster_id: str
    plan: str
    ceiling_hours: int
    drifted: list[str] = []
    released: list[str] = []
    release_blocked: ReleaseBlocked | None = None
    states: list[OwnerState] = []
    collectors: list[CollectorState] = []
    capture: CaptureState | None = None
    requested_upgrade: str | None = None
    overridden: Override | None = None


class DestinationTestAnswer(_Answer, frozen=True, kw_only=True):
    """The answer to a test of a destination: a real message, marked as a test, was tried."""

    delivered: bool
    latency_ms: int
    receiver_status: int | None = None
    error: str | None = None
