"""AuditHub and AuditPolicy as the operator reads them.

Owns the decoding of the two kinds into frozen structures. Called by the intake of watch events and
lists. Pure; never keeps what it does not need of an object, so that a thousand of them stay small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from .errors import SpecError

GROUP, VERSION = "audit.radarhq.io", "v1alpha1"
POLICIES, HUBS = "auditpolicies", "audithubs"
SYNC_NOW, TEST_SEND = f"{GROUP}/sync-now", f"{GROUP}/test-send"
_MAX_TRIGGER_CHARS = 256
SeverityWord = Literal["Info", "Warning", "Critical"]
GroupWord = Literal["Rule", "Actor", "Target", "Cluster", "Namespace"]


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    """A part of a spec; fields of a newer schema are ignored."""


class SecretRef(_Spec, frozen=True):
    """A key of a Secret; its namespace is the policy's, or the operator's for a token."""

    name: str
    key: str


class SlackSpec(_Spec, frozen=True):
    """A Slack webhook, whose URL is the secret."""

    url_secret_ref: SecretRef


class WebhookSpec(_Spec, frozen=True):
    """A webhook signed with a secret, a key or both; the previous ones while they are replaced."""

    url: str
    signing_secret_ref: SecretRef | None = None
    previous_signing_secret_ref: SecretRef | None = None
    signing_key_secret_ref: SecretRef | None = None
    previous_signing_key_secret_ref: SecretRef | None = None
    envelope: Literal["Radar", "CloudEvents"] = "Radar"


class EmailSpec(_Spec, frozen=True):
    """Addresses of people."""

    to: tuple[str, ...]


class TeamsSpec(_Spec, frozen=True):
    """A Microsoft Teams workflow, whose URL is the secret."""

    url_secret_ref: SecretRef


class PagerDutySpec(_Spec, frozen=True):
    """A PagerDuty service, whose routing key is the secret."""

    routing_key_secret_ref: SecretRef


class DestinationSpec(_Spec, frozen=True):
    """One destination; the schema sees to it that exactly one kind is set."""

    name: str
    slack: SlackSpec | None = None
    webhook: WebhookSpec | None = None
    email: EmailSpec | None = None
    teams: TeamsSpec | None = None
    pagerduty: PagerDutySpec | None = None
    min_severity: SeverityWord = "Info"
    muted_until: str | None = None


class ThrottleSpec(_Spec, frozen=True):
    """At most `max` messages in `per` (a duration such as 5m)."""

    max: int
    per: str


class ThresholdSpec(_Spec, frozen=True):
    """A message only when `count` events came `within` a duration, counted apart by `by`."""

    count: int
    within: str
    by: GroupWord = "Rule"


class GroupingSpec(_Spec, frozen=True):
    """Events of one group that come within `wait` (such as 30s) are one message."""

    by: GroupWord
    wait: str


class DigestSpec(_Spec, frozen=True):
    """One message `every` so often."""

    every: str


class QuietHoursSpec(_Spec, frozen=True):
    """From .. to, as HH:MM in a time zone."""

    from_time: str = msgspec.field(name="from")
    to_time: str = msgspec.field(name="to")
    time_zone: str = "UTC"


class RuleSpec(_Spec, frozen=True):
    """Which events go where."""

    name: str
    destinations: tuple[str, ...]
    actions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    query: str | None = None
    severity: SeverityWord = "Info"
    throttle: ThrottleSpec | None = None
    threshold: ThresholdSpec | None = None
    grouping: GroupingSpec | None = None
    digest: DigestSpec | None = None
    quiet_hours: QuietHoursSpec | None = None
    muted_until: str | None = None
    suspend: bool = False


class NotificationsSpec(_Spec, frozen=True):
    """Destinations and rules."""

    destinations: tuple[DestinationSpec, ...] = ()
    rules: tuple[RuleSpec, ...] = ()


class OverrideSpec(_Spec, frozen=True):
    """Another age for some actions."""

    name: str
    actions: tuple[str, ...]
    max_age: str


class HoldSpec(_Spec, frozen=True):
    """A legal hold."""

    name: str
    reason: str
    query: str | None = None
    until: str | None = None
    released: bool = False


class RetentionSpec(_Spec, frozen=True):
    """Ages and holds."""

    max_age: str | None = None
    cluster_overrides: Literal["None", "Longer", "Any"] | None = None
    shrink_delay: str = "24h"
    overrides: tuple[OverrideSpec, ...] = ()
    holds: tuple[HoldSpec, ...] = ()


class HubRef(_Spec, frozen=True):
    """The AuditHub of a policy."""

    name: str


class PolicySpec(_Spec, frozen=True):
    """The spec of an AuditPolicy."""

    hub_ref: HubRef
    scope: Literal["Cluster", "Organization"] = "Cluster"
    take_over_from: str | None = None
    mode: Literal["Enforce", "DryRun", "Suspend"] = "Enforce"
    deletion_policy: Literal["Revert", "Retain"] = "Revert"
    retention: RetentionSpec | None = None
    notifications: NotificationsSpec | None = None


class SelectorSpec(_Spec, frozen=True):
    """Labels that must all be there."""

    match_labels: dict[str, str]


class GrantSpec(_Spec, frozen=True):
    """What policies of some namespaces may ask for."""

    namespace_selector: SelectorSpec
    allow: tuple[Literal["Notifications", "Retention", "Holds"], ...]
    query_scope: Literal["OwnNamespace", "Any"] = "OwnNamespace"


class NamespacesSpec(_Spec, frozen=True):
    """Namespaces in and out."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class CaptureSpec(_Spec, frozen=True):
    """What collectors record."""

    enabled: bool = True
    namespaces: NamespacesSpec = NamespacesSpec()
    attach: bool = False
    service_actors: Literal["Ignore", "Record"] = "Ignore"
    identity: Literal["Cloud", "Impersonated", "Any"] = "Cloud"
    failure_policy: Literal["BestEffort", "Required"] = "BestEffort"


class HubSpec(_Spec, frozen=True):
    """The spec of an AuditHub; `ca_bundle` is PEM in base64.

    Without a `token_secret_ref` the operator logs in with its own ServiceAccount's token.
    """

    url: str
    organization: str
    cluster_id: str
    token_secret_ref: SecretRef | None = None
    ca_bundle: str | None = None
    resync_interval: str = "10m"
    speaks_for: Literal["Cluster", "Organization"] = "Cluster"
    grants: tuple[GrantSpec, ...] = ()
    capture: CaptureSpec | None = None


class Key(NamedTuple):
    """Which object: an AuditHub has the empty namespace."""

    namespace: str
    name: str


class Meta(msgspec.Struct, frozen=True):
    """What matters of an object's metadata; `sync_now` and `test_send` are our annotations."""

    key: Key
    uid: str
    generation: int
    created_at: str
    resource_version: int = 0
    sync_now: str = ""
    test_send: str = ""


class Policy(msgspec.Struct, frozen=True):
    """One AuditPolicy; `packed` is its status in JSON, which takes a fifth of its memory."""

    meta: Meta
    spec: PolicySpec
    packed: bytes

    @property
    def status(self) -> dict[str, Any]:
        """The status, a fresh one at each access."""
        return dict(msgspec.json.decode(self.packed))


class Hub(msgspec.Struct, frozen=True):
    """One AuditHub; `packed` is its status in JSON."""

    meta: Meta
    spec: HubSpec
    packed: bytes

    @property
    def status(self) -> dict[str, Any]:
        """The status, a fresh one at each access."""
        return dict(msgspec.json.decode(self.packed))


def read_policy(raw: Mapping[str, Any]) -> Policy:
    """Return the AuditPolicy of a decoded object. Raises SpecError."""
    return Policy(*_parts(raw, PolicySpec))


def read_hub(raw: Mapping[str, Any]) -> Hub:
    """Return the AuditHub of a decoded object. Raises SpecError."""
    return Hub(*_parts(raw, HubSpec))


def read_meta(raw: Mapping[str, Any]) -> Meta:
    """Return what matters of a decoded object's metadata. Raises SpecError."""
    try:
        meta = raw["metadata"]
        notes = meta.get("annotations") or {}
        return Meta(
            key=Key(meta.get("namespace", ""), meta["name"]),
            uid=meta["uid"],
            generation=int(meta.get("generation", 1)),
            created_at=meta["creationTimestamp"],
            resource_version=_number(meta.get("resourceVersion")),
            sync_now=notes.get(SYNC_NOW, "")[:_MAX_TRIGGER_CHARS],
            test_send=notes.get(TEST_SEND, "")[:_MAX_TRIGGER_CHARS],
        )
    except (KeyError, TypeError, AttributeError):
        raise SpecError("an object without name, uid or creationTimestamp came in") from None


def pack(status: Mapping[str, Any]) -> bytes:
    """Return a status as it is kept: the same status always gives the same bytes."""
    return msgspec.json.encode(status, order="deterministic")


def duration_seconds(text: str) -> int:
    """Return the seconds of a duration such as 30s, 15m, 24h or 30d. Raises SpecError."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNIT_SECONDS or not number.isascii() or not number.isdigit():
        raise SpecError(f"{text!r} is no duration such as 30s, 15m, 24h or 30d")
    return int(number) * _UNIT_SECONDS[unit]


def duration_hours(text: str) -> int:
    """Return the hours of a duration such as 24h or 30d. Raises SpecError."""
    return duration_seconds(text) // 3600


def in_days(hours: int) -> str:
    """Return hours as people write them: whole days as 30d, else 36h."""
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _number(text: object) -> int:
    """Return a resourceVersion as a number, which orders the states of one object; else 0."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else 0


def _parts(raw: Mapping[str, Any], kind: type[Any]) -> tuple[Meta, Any, bytes]:
    meta = read_meta(raw)
    try:
        spec = msgspec.convert(raw.get("spec"), kind)
    except msgspec.ValidationError as error:
        raise SpecError(f"{meta.key.name}: {error}") from None
    return meta, spec, pack(raw.get("status") or {})
