"""Who a found token stands for, and whether it is still good: pure rules.

Owns `Principal`, `ClusterPrincipal` and the verdicts on a token's row. Called by
`bearer.py` with what the store found. Never reads a clock, a request or the store.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from radar_audit_hub.store.tokens import FoundClusterToken, FoundPat

OWNER, AUDITOR, MEMBER, VIEWER = "owner", "auditor", "member", "viewer"
LOG_READERS = (OWNER, AUDITOR)  # contract: read, export, tail and verify the log
READ_SCOPE = "audit:read"
ORG_READ_SCOPE = "org:read"
# What a collector may do that logs in with its ServiceAccount's token.
LOGIN_COLLECTOR_SCOPES = ("ingest", "agent")
# What a PAT can be narrowed to; a mutating handler names one of them, and reading handlers of
# the control plane ORG_READ_SCOPE.
SCOPES = (
    READ_SCOPE,
    "audit:write",
    "billing:write",
    "clusters:write",
    "members:write",
    ORG_READ_SCOPE,
    "org:write",
    "policy:write",
    "tokens:write",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person calling in one org, with a PAT or (then `pat_id`, `pat_name` None) a session.

    `scopes` None means everything that the role may do; `records_log_access` whether the org
    wants its readers in the log.
    """

    user_id: str
    email: str
    role: str
    org_id: str
    org_name: str
    plan: str
    scopes: tuple[str, ...] | None
    pat_id: str | None
    pat_name: str | None
    expires_at_ms: int | None
    session_id: str | None = None
    retention: str | None
    records_log_access: bool

    def has_scope(self, scope: str) -> bool:
        """Tell whether the token may be used for `scope`."""
        return self.scopes is None or scope in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Someone:
    """A person calling, whatever the org: for what is done outside of any.

    `email_verified` says whether somebody whom the hub trusts vouches for the e-mail.
    """

    user_id: str
    email: str
    email_verified: bool
    pat_name: str | None
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPrincipal:
    """A collector calling with its cluster's token; `plan` is its org's.

    `token_hash` is of the token in use, or names the row by which ServiceAccounts log in.
    `assumed_at_ms` (Unix ms) is when the hub last took a terminal of the cluster as ended.
    """

    org_id: str
    plan: str
    cluster_id: str
    cluster_name: str
    scopes: tuple[str, ...]
    retention: str | None
    assumed_at_ms: int | None
    token_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a token is no good: `reason` is a metric's label, `message` for people."""

    reason: str
    message: str


UNKNOWN = Refused("unknown", "the token is not known here")
_REVOKED = Refused("revoked", "the token is revoked")
_EXPIRED = Refused("expired", "the token has expired")
_NO_MEMBER = Refused("no_member", "the token's user is no longer a member of its organization")
ORG_GONE = Refused("org_deleted", "the token's organization is deleted")
NO_LOGIN = Refused(
    "no_login",
    "this hub lets no ServiceAccount in; send a cluster token (rhc_), or set "
    "RADAR_AUDIT_HUB_KUBERNETES_LOGIN",
)
NO_CLUSTER = Refused(
    "no_cluster",
    "no cluster of this hub is the one that ServiceAccounts log in to; "
    "RADAR_AUDIT_HUB_BOOTSTRAP_CLUSTER_ID names it",
)
_CLUSTER_GONE = Refused("cluster_deleted", "the token's cluster is deleted")


def judge_pat(found: FoundPat | None, now_ms: int) -> Principal | Refused:
    """Return who calls with this PAT at `now_ms` (Unix ms), or why nobody does."""
    if found is None:
        return UNKNOWN
    if found.revoked_at_ms is not None:
        return _REVOKED
    if found.expires_at_ms is not None and found.expires_at_ms <= now_ms:
        return _EXPIRED
    if found.org_deleted_at_ms is not None:
        return ORG_GONE
    if found.role is None:
        return _NO_MEMBER
    return Principal(
        user_id=found.user_id,
        email=found.email,
        role=found.role,
        org_id=found.org_id,
        org_name=found.org_name,
        plan=found.plan,
        retention=found.retention,
        records_log_access=found.records_log_access,
        scopes=found.scopes,
        pat_id=found.id,
        pat_name=found.name,
        expires_at_ms=found.expires_at_ms,
    )


def judge_cluster_token(found: FoundClusterToken | None) -> ClusterPrincipal | Refused:
    """Return which cluster calls with this token, or why none does."""
    if found is None:
        return UNKNOWN
    if found.revoked_at_ms is not None:
        return _REVOKED
    if found.org_deleted_at_ms is not None:
        return ORG_GONE
    if found.cluster_deleted_at_ms is not None:
        return _CLUSTER_GONE
    return ClusterPrincipal(
        org_id=found.org_id,
        plan=found.plan,
        retention=found.retention,
        cluster_id=found.cluster_id,
        cluster_name=found.cluster_name,
        scopes=found.scopes,
        assumed_at_ms=found.assumed_at_ms,
        token_hash=found.token_hash,
    )


def narrowed(caller: ClusterPrincipal, scopes: Collection[str]) -> ClusterPrincipal:
    """Return the caller with no more than these scopes."""
    return replace(caller, scopes=tuple(scope for scope in caller.scopes if scope in scopes))
