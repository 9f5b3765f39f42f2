"""Who may call what: the contract's section 3, as one table, and the answer each caller gets.

Owns the rows, one for each route of the hub, and the callers. Used by the authorization matrix
alone. It is written by hand from the contract and never derived from the handlers, which it
judges.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_hub.auth.principal import SCOPES
from radar_audit_hub.declarations import READ_METHODS

ROLES = ("owner", "auditor", "member", "viewer")

# Who, besides roles. Of an org: its members of these roles, by session or by PAT.
PUBLIC = "public"  # anybody: no credential is looked at
PERSON = "person"  # anybody whom the hub knows, outside of any org: sessions, PATs without scopes
TOKEN_OR_SESSION = "token or session"  # anybody whom the hub knows, PATs with scopes too
SESSION = "session"  # a browser's session: no token can do it
CLUSTER = "cluster"  # a cluster's token with the scope
EVERYBODY = "owner auditor member viewer"


@dataclass(frozen=True)
class Row:
    """One route: `who` may call it, and with which scope where a token is narrowed to scopes.

    The probe is a request with a parameter that no route knows, so that nobody who may call
    changes anything: `passing` is the answer to it. Where another status stands there, the
    request is sent without that parameter, for a thing that does not exist or without a body.
    `sessions` is false for what programs do, by a PAT only.
    """

    method: str
    path: str
    who: str
    scope: str | None = None
    passing: int = 400
    sessions: bool = True


_ORG = "/api/orgs/{org_id}"
_LOG = f"{_ORG}/audit"
_TO = f"{_ORG}/destinations"

TABLE = (
    # what                                          who                     scope
    Row("GET", "/api/openapi.json", PUBLIC, passing=200),
    Row("GET", "/api/schemas/audit/{action}", PUBLIC, passing=404),
    Row("GET", "/api/me", TOKEN_OR_SESSION),
    # the log
    Row("GET", _LOG, "owner auditor", "audit:read"),
    Row("GET", f"{_LOG}/facets", "owner auditor", "audit:read"),
    Row("GET", f"{_LOG}/follow", "owner auditor", "audit:read"),
    Row("GET", f"{_LOG}/gaps", "owner auditor", "audit:read"),
    Row("GET", f"{_LOG}/{{event_id}}", "owner auditor", "audit:read"),
    Row("POST", f"{_LOG}/events", "owner", "audit:write", sessions=False),
    # organizations
    Row("GET", "/api/orgs", PERSON),
    Row("POST", "/api/orgs", PERSON),
    Row("GET", _ORG, EVERYBODY, "org:read"),
    Row("PATCH", _ORG, "owner", "org:write"),
    Row("DELETE", _ORG, "owner", "org:write"),
    # members: everybody may leave, so another member is what others may not remove
    Row("GET", f"{_ORG}/members", "owner", "org:read"),
    Row("PATCH", f"{_ORG}/members/{{user_id}}", "owner", "members:write"),
    Row("DELETE", f"{_ORG}/members/{{user_id}}", "owner", "members:write", passing=404),
    Row("GET", f"{_ORG}/invitations", "owner", "org:read"),
    Row("POST", f"{_ORG}/invitations", "owner", "members:write"),
    Row("POST", f"{_ORG}/invitations/{{invitation_id}}/resend", "owner", "members:write"),
    Row("DELETE", f"{_ORG}/invitations/{{invitation_id}}", "owner", "members:write"),
    Row("POST", "/api/invitations/accept", PERSON),
    # clusters
    Row("GET", f"{_ORG}/clusters", EVERYBODY, "org:read"),
    Row("POST", f"{_ORG}/clusters", "owner member", "clusters:write"),
    Row("GET", f"{_ORG}/clusters/{{cluster_id}}", EVERYBODY, "org:read"),
    Row("PATCH", f"{_ORG}/clusters/{{cluster_id}}", "owner", "clusters:write"),
    Row("DELETE", f"{_ORG}/clusters/{{cluster_id}}", "owner", "clusters:write"),
    Row("POST", f"{_ORG}/clusters/{{cluster_id}}/rotate-token", "owner", "clusters:write"),
    Row("POST", f"{_ORG}/clusters/{{cluster_id}}/upgrade-agent", "owner", "clusters:write"),
    # billing and single sign-on
    Row("GET", f"{_ORG}/billing", "owner", "org:read"),
    Row("POST", f"{_ORG}/billing/checkout", "owner", "billing:write"),
    Row("POST", f"{_ORG}/billing/portal", "owner", "billing:write"),
    Row("POST", "/api/webhooks/stripe", PUBLIC, passing=409),
    Row("POST", f"{_ORG}/sso/portal", "owner", "org:write"),
    Row("GET", "/api/auth/sso/start", PUBLIC, passing=404),
    Row("GET", "/api/auth/sso/callback", PUBLIC, passing=404),
    # collectors
    Row("POST", "/api/ingest/events", CLUSTER, "ingest", passing=415),
    Row("POST", "/api/agent/heartbeat", CLUSTER, "agent", passing=415),
    # operators
    Row("GET", "/api/agent/settings", CLUSTER, "audit-settings:write"),
    Row("POST", "/api/agent/operator-heartbeat", CLUSTER, "audit-settings:write"),
    Row("PUT", "/api/agent/owners/{owner_id}", CLUSTER, "audit-settings:write"),
    Row("DELETE", "/api/agent/owners/{owner_id}", CLUSTER, "audit-settings:write"),
    Row(
        "POST",
        "/api/agent/owners/{owner_id}/destinations/{name}/test",
        CLUSTER,
        "audit-settings:write",
    ),
    # the audit policy
    Row("GET", f"{_LOG}/policy", "owner", "org:read"),
    Row("PUT", f"{_LOG}/policy", "owner", "policy:write"),
    Row("POST", f"{_LOG}/policy/alerts/preview", "owner", "audit:read"),
    Row("POST", f"{_LOG}/settings/takeover", "owner", "policy:write"),
    Row("POST", f"{_LOG}/settings/override", "owner", "policy:write"),
    Row("POST", f"{_LOG}/settings/release/{{cluster_id}}", "owner", "policy:write"),
    Row("PUT", f"{_LOG}/settings/grants/{{cluster_id}}", "owner", "policy:write"),
    Row("DELETE", f"{_LOG}/settings/grants/{{cluster_id}}", "owner", "policy:write"),
    # destinations: what was delivered tells of events, so who reads it may read the log
    Row("GET", _TO, "owner", "org:read"),
    Row("POST", _TO, "owner", "policy:write"),
    Row("GET", f"{_TO}/{{destination_id}}", "owner", "org:read"),
    Row("PATCH", f"{_TO}/{{destination_id}}", "owner", "policy:write"),
    Row("DELETE", f"{_TO}/{{destination_id}}", "owner", "policy:write"),
    Row("POST", f"{_TO}/{{destination_id}}/enable", "owner", "policy:write"),
    Row("POST", f"{_TO}/{{destination_id}}/test", "owner", "policy:write"),
    Row("POST", f"{_TO}/{{destination_id}}/replay", "owner", "policy:write"),
    Row("GET", f"{_TO}/{{destination_id}}/deliveries", "owner", "audit:read"),
    Row("GET", f"{_TO}/{{destination_id}}/deliveries/{{message_id}}", "owner", "audit:read"),
    # own tokens
    Row("GET", f"{_ORG}/pats", "owner member", "org:read"),
    Row("POST", f"{_ORG}/pats", "owner member", "tokens:write"),
    Row("DELETE", f"{_ORG}/pats/{{pat_id}}", "owner member", "tokens:write"),
    # a person's own inbox
    Row("GET", "/api/inbox", PERSON),
    Row("POST", "/api/inbox/read", PERSON),
    Row("GET", "/api/inbox/preferences", PERSON),
    Row("PUT", "/api/inbox/preferences", PERSON),
    Row("DELETE", "/api/inbox/{notice_id}", PERSON),
    Row("GET", "/api/inbox/unsubscribe/{token}", PUBLIC),
    Row("POST", "/api/inbox/unsubscribe/{token}", PUBLIC),
    # signing in (no provider is set up here), own sessions
    Row("GET", "/api/auth/link/{token}", PUBLIC),
    Row("POST", "/api/auth/link/{token}", PUBLIC),
    Row("GET", "/api/auth/oidc/start", PUBLIC, passing=404),
    Row("GET", "/api/auth/oidc/callback", PUBLIC, passing=404),
    Row("GET", "/api/session", SESSION),
    Row("DELETE", "/api/session", SESSION),
    Row("GET", "/api/sessions", SESSION),
    Row("DELETE", "/api/sessions/{session_id}", SESSION),
)


@dataclass(frozen=True)
class Caller:
    """Somebody with a credential: how good it is, and what they are in the org of the path.

    `kind` is pat, session, cluster or none. `role` is None for who is not in the org, `scopes`
    None for everything that the role may do. `csrf` says whether a session's page proves itself.
    """

    name: str
    kind: str
    role: str | None = None
    scopes: tuple[str, ...] | None = None
    good: bool = True
    csrf: bool = True


CALLERS = (
    *(Caller(f"PAT of {role}", "pat", role) for role in ROLES),
    *(Caller(f"PAT of owner for {scope} alone", "pat", "owner", (scope,)) for scope in SCOPES),
    *(Caller(f"session of {role}", "session", role) for role in ROLES),
    Caller("session of owner without CSRF token", "session", "owner", csrf=False),
    Caller("session that ended", "session", "owner", good=False),
    Caller("PAT of a foreign org's owner", "pat"),
    Caller("session of a foreign org's owner", "session"),
    Caller("PAT of a removed member", "pat", good=False),
    Caller("session of a removed member", "session"),
    Caller("expired PAT of owner", "pat", "owner", good=False),
    Caller("revoked PAT of owner", "pat", "owner", good=False),
    Caller("PAT that nobody made", "pat", good=False),
    Caller("revoked cluster token", "cluster", good=False),
    Caller("cluster token", "cluster", scopes=("ingest", "agent", "audit-settings:write")),
    Caller("cluster token for ingest alone", "cluster", scopes=("ingest",)),
    Caller("no credential", "none"),
)


def expected(row: Row, caller: Caller) -> int:
    """Return the status that the caller gets from the row's probe."""
    if row.who == PUBLIC:
        return row.passing
    if row.who == CLUSTER:
        return _of_cluster(row, caller)
    if caller.kind in ("cluster", "none") or not caller.good:
        return 401
    if caller.kind == "session" and not caller.csrf and row.method not in READ_METHODS:
        return 403
    if row.who == TOKEN_OR_SESSION:
        return row.passing
    if row.who == PERSON:
        return 403 if caller.scopes is not None else row.passing
    if row.who == SESSION:
        return _of_session(row, caller)
    if caller.role is None:
        return 404
    lacks_scope = caller.scopes is not None and row.scope not in caller.scopes
    by_page = caller.kind == "session" and not row.sessions
    may_not = caller.role not in row.who.split() or lacks_scope or by_page
    return 403 if may_not else row.passing


def _of_cluster(row: Row, caller: Caller) -> int:
    if caller.kind != "cluster" or not caller.good:
        return 401
    assert caller.scopes is not None
    return row.passing if row.scope in caller.scopes else 403


def _of_session(row: Row, caller: Caller) -> int:
    return row.passing if caller.kind == "session" else 403
