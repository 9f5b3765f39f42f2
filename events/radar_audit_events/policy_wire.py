"""What the operator sends to the hub.

Owns the request structures of the operator's calls below `/api/agent/`
(`PUT|DELETE owners/{ownerId}`, `POST operator-heartbeat`), the codes of their
refusals, and the form of an owner id; the answers are in `policy_answers.py`.
`PUT` takes `?dryRun=true`; `DELETE` takes `?policy=Revert|Retain&uid=<uid>` and
answers 204, also when there is nothing of that uid to release.
Called by the operator (encodes) and by the hub (decodes; unknown fields are refused
by name). Never reads a clock; a secret is left out of every repr.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from .errors import IdError

MAX_OWNERS = 5000  # live owners of one cluster in one heartbeat
MAX_DOCUMENT_BYTES = 256 * 1024  # of one PUT; secrets of 16 destinations fit well
MAX_HEARTBEAT_BYTES = 4 * 1024 * 1024
MIN_AGE_HOURS, MAX_AGE_HOURS = 24, 3650 * 24
MAX_SHRINK_DELAY_HOURS = 720
MAX_DESTINATIONS, MAX_RULES, MAX_OVERRIDES, MAX_HOLDS = 16, 32, 16, 16
TEST_SECONDS = 10  # one test of a destination in so many seconds, else 429

SCOPE_SETTINGS = "audit-settings:write"  # every cluster token: its own owners and cluster key
SCOPE_ORG_SETTINGS = "audit-settings:write-org"  # granted by an org owner: the key `org` as well

# `code` of the problem documents that these routes answer with, beside those of every route
# (unauthorized 401, not_found 404, too_many_requests 429, unavailable 503, internal 500).
CODE_STALE = "stale_generation"  # 409: a later generation of the same uid is stored
CODE_FOREIGN_OWNER = "foreign_owner"  # 403: the owner id names another cluster than the token's
CODE_SCOPE_MISSING = "scope_missing"  # 403: scope `organization` without SCOPE_ORG_SETTINGS
CODE_INVALID_QUERY = "invalid_query"  # 422: errors[] names rule or hold and the position
CODE_UNKNOWN_ACTION = "unknown_action"  # 422: errors[] names the action and the nearest known
CODE_INVALID_BODY = "invalid_body"  # 422: errors[] names field and bound
CODE_TOO_MANY_OWNERS = "too_many_owners"  # 409: the cluster has MAX_OWNERS documents

Scope = Literal["cluster", "organization"]
DeletionPolicy = Literal["revert", "retain"]
ClusterOverrides = Literal["none", "longer", "any"]
Severity = Literal["info", "warning", "critical"]
Envelope = Literal["radar", "cloudevents"]
GroupBy = Literal["rule", "actor", "target", "cluster", "namespace"]

# Radar's own notifications, beside the actions of the log (radarhq.io/docs/cloud/notifications).
NOTICE_KINDS = (
    "cluster.disconnected",
    "cluster.reconnected",
    "org.member.invited",
    "org.member.joined",
    "billing.payment_failed",
    "billing.free_tier_cap_hit",
)


class _Request(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A part of a request: unknown fields are refused by name."""


class AgeOverride(_Request, frozen=True, kw_only=True):
    """Another age for some actions: exact names or `pod.*`, or `*`."""

    name: str
    actions: list[str]
    max_age_hours: int


class LegalHold(_Request, frozen=True, kw_only=True):
    """What `query` (null: everything) selects is kept until `released`, or `until` (RFC 3339)."""

    name: str
    reason: str
    query: str | None = None
    until: str | None = None
    released: bool = False


class RetentionSettings(_Request, frozen=True, kw_only=True):
    """The retention that an owner asks for; null `max_age_hours`: no claim to the age's key.

    A shorter effective age waits `shrink_delay_hours`. `cluster_overrides` belongs to the
    key `org`: which clusters may differ from it (null: `longer`).
    """

    max_age_hours: int | None = None
    shrink_delay_hours: int = 24
    cluster_overrides: ClusterOverrides | None = None
    overrides: list[AgeOverride] = []
    holds: list[LegalHold] = []


class SlackTarget(_Request, frozen=True, kw_only=True):
    """A Slack webhook; null `url`: keep the one that is stored, as the Secret is not readable."""

    url: str | None = None

    def __repr__(self) -> str:
        """Say whether there is a secret, never which."""
        return f"SlackTarget(url={_hidden(self.url)})"


class WebhookTarget(_Request, frozen=True, kw_only=True):
    """A webhook signed by Standard Webhooks 1.0.0; null secret and key: keep those stored.

    `signing_secret` (`whsec_…`) signs with HMAC-SHA256 (`v1`), `signing_key` (`whsk_…`, an
    Ed25519 private key) with `v1a`; either or both. While a rotation lasts, requests are signed
    with the previous ones as well. `envelope` is the form of the body.
    """

    url: str
    signing_secret: str | None = None
    previous_signing_secret: str | None = None
    signing_key: str | None = None
    previous_signing_key: str | None = None
    envelope: Envelope = "radar"

    def __repr__(self) -> str:
        """Say where to and whether there are secrets, never which."""
        return (
            f"WebhookTarget(url={self.url!r}, envelope={self.envelope!r}, "
            f"signing_secret={_hidden(self.signing_secret)}, "
            f"previous_signing_secret={_hidden(self.previous_signing_secret)}, "
            f"signing_key={_hidden(self.signing_key)}, "
            f"previous_signing_key={_hidden(self.previous_signing_key)})"
        )


class EmailTarget(_Request, frozen=True, kw_only=True):
    """Addresses of people; it has no secret."""

    to: list[str]


class TeamsTarget(_Request, frozen=True, kw_only=True):
    """A Microsoft Teams workflow's webhook; null `url`: keep the one that is stored."""

    url: str | None = None

    def __repr__(self) -> str:
        """Say whether there is a secret, never which."""
        return f"TeamsTarget(url={_hidden(self.url)})"


class PagerDutyTarget(_Request, frozen=True, kw_only=True):
    """A PagerDuty service (Events API v2); null `routing_key`: keep the one that is stored."""

    routing_key: str | None = None

    def __repr__(self) -> str:
        """Say whether there is a secret, never which."""
        return f"PagerDutyTarget(routing_key={_hidden(self.routing_key)})"


class Destination(_Request, frozen=True, kw_only=True):
    """Where alerts go: exactly one of the five; `name` is unique in its document.

    Messages below `min_severity` do not go there, nor any until `muted_until` (RFC 3339).
    """

    name: str
    slack: SlackTarget | None = None
    webhook: WebhookTarget | None = None
    email: EmailTarget | None = None
    teams: TeamsTarget | None = None
    pagerduty: PagerDutyTarget | None = None
    min_severity: Severity = "info"
    muted_until: str | None = None


class Throttle(_Request, frozen=True, kw_only=True):
    """At most `max` messages in `per_seconds`; the rest is counted and told as a sum."""

    max: int
    per_seconds: int


class Threshold(_Request, frozen=True, kw_only=True):
    """A message only when `count` events came `within_seconds`, counted apart by `by`."""

    count: int
    within_seconds: int
    by: GroupBy = "rule"


class Grouping(_Request, frozen=True, kw_only=True):
    """Events of one group that come within `wait_seconds` of its first are one message."""

    by: GroupBy
    wait_seconds: int


class QuietHours(_Request, frozen=True, kw_only=True):
    """From `from_time` to `to_time` (HH:MM in `time_zone`) messages wait; critical ones do not."""

    from_time: str
    to_time: str
    time_zone: str = "UTC"


class AlertRule(_Request, frozen=True, kw_only=True):
    """Events of `actions` (empty: all) that match `query` (null: all) go to `destinations`.

    `kinds` are Radar's own (such as `cluster.disconnected`, `NOTICE_KINDS`): a rule that names
    kinds and neither actions nor a query selects no event of the log. `digest_seconds` (a digest
    instead of single messages) excludes `throttle` and `grouping`. Nothing is sent of what
    happens until `muted_until` (RFC 3339).
    """

    name: str
    destinations: list[str]
    actions: list[str] = []
    kinds: list[str] = []
    query: str | None = None
    severity: Severity = "info"
    throttle: Throttle | None = None
    threshold: Threshold | None = None
    grouping: Grouping | None = None
    digest_seconds: int | None = None
    quiet_hours: QuietHours | None = None
    muted_until: str | None = None
    suspended: bool = False


class NotificationSettings(_Request, frozen=True, kw_only=True):
    """An owner's alerts; the hub ANDs each rule with `namespace:<only_namespace>` unless null."""

    destinations: list[Destination] = []
    rules: list[AlertRule] = []
    only_namespace: str | None = None


class CaptureSettings(_Request, frozen=True, kw_only=True):
    """What the cluster's collectors record; part of the document of the cluster's AuditHub.

    `required` is in force only while all collectors of the cluster are healthy.
    """

    enabled: bool = True
    include_namespaces: list[str] = []
    exclude_namespaces: list[str] = []
    attach: bool = False
    service_actors: Literal["ignore", "record"] = "ignore"
    identity: Literal["cloud", "impersonated", "any"] = "cloud"
    failure_policy: Literal["best_effort", "required"] = "best_effort"


class OwnerDocument(_Request, frozen=True, kw_only=True):
    """`PUT owners/{ownerId}`: all that one owner asks for, as one whole.

    The same uid, generation and spec_hash again change nothing; an older generation of the
    same uid is refused (CODE_STALE); another uid is another object of that name and starts
    anew. `spec_hash` is opaque to the hub: it also changes when a Secret does, but is made of
    versions, not of values. `created_at` (RFC 3339) decides between claimants of a free key.
    `deletion_policy` is for the release of an owner whose deletion nobody saw. `capture`
    stands in the document of an AuditHub alone (`namespace` of the owner id is `-`).
    """

    uid: str
    generation: int
    spec_hash: str
    created_at: str
    scope: Scope = "cluster"
    take_over_from: str | None = None
    deletion_policy: DeletionPolicy = "revert"
    retention: RetentionSettings | None = None
    notifications: NotificationSettings | None = None
    capture: CaptureSettings | None = None


class LiveOwner(_Request, frozen=True, kw_only=True):
    """One owner that exists in the cluster, and the last document that was sent for it.

    A suspended one is alive: it is neither sent nor released. Before the first PUT
    `spec_hash` is empty.
    """

    owner_id: str
    uid: str
    generation: int
    spec_hash: str
    is_suspended: bool = False


class RadarPods(_Request, frozen=True, kw_only=True):
    """Radar's pods in the cluster, and how many of them run without the gateway."""

    total: int
    without_gateway: int


class OperatorHeartbeat(_Request, frozen=True, kw_only=True):
    """`POST operator-heartbeat`: all live owners of the cluster, at most MAX_OWNERS.

    Only a `is_complete` one may release: a list that could not be read whole says false.
    """

    is_complete: bool
    sent_at: str
    version: str
    owners: list[LiveOwner]
    radar: RadarPods | None = None


class OwnerName(msgspec.Struct, frozen=True):
    """The parts of an owner id; `namespace` is null for an AuditHub, which has none."""

    cluster_id: str
    namespace: str | None
    name: str


_OWNER_ID = re.compile(
    r"^k8s:(cl_[A-Za-z0-9_]{1,60}):(-|[a-z0-9][a-z0-9-]{0,62}):([a-z0-9][a-z0-9.-]{0,62})\Z"
)


def owner_id(cluster_id: str, namespace: str | None, name: str) -> str:
    """Return `k8s:<clusterId>:<namespace>:<name>`, namespace `-` where there is none.

    It has no slash, so proxies cannot decode it into two path segments. Raises IdError.
    """
    made = f"k8s:{cluster_id}:{'-' if namespace is None else namespace}:{name}"
    parse_owner_id(made)
    return made


def parse_owner_id(text: str) -> OwnerName:
    """Return the parts of an owner id. Raises IdError."""
    found = _OWNER_ID.match(text)
    if found is None:
        raise IdError("an owner id looks like k8s:cl_01H8XGJWBWBAQ4:namespace:name")
    cluster_id, namespace, name = found.groups()
    return OwnerName(cluster_id, None if namespace == "-" else namespace, name)


def capture_etag(capture: CaptureSettings) -> str:
    """Return the hash that names capture settings: hub, operator and collectors compare it."""
    text = msgspec.json.encode(msgspec.to_builtins(capture), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]


def _hidden(secret: str | None) -> str:
    return "None" if secret is None else "<not shown>"
