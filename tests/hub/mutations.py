"""What each mutating route writes: one table.

Owns the cases. Used by the test that every mutation writes its events, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_hub.external.rules import ALLOWED

from tests.hub import destination_requests as destinations
from tests.hub import inbox_requests as inbox
from tests.hub import mutation_requests as asked
from tests.hub.mutation_requests import SETTINGS_PATH, Ask, simple
from tests.hub.mutation_stage import (
    BOB_ID,
    BOB_PAT,
    CLUSTER_ID,
    CLUSTER_PATH,
    ORG_PATH,
    Call,
    Stage,
)


@dataclass(frozen=True)
class Case:
    """A route, a request to it, and the actions that the request writes, in their order.

    `keeps` are tables that a fault may leave changed: an intent that a job finishes later, or a
    secret for one use, which is used up by a fault, too (then not `repeats`). `stores` is false
    for a route that has nothing of its own to store. `reports` marks what only tells the hub of
    actions that were made elsewhere: there is no mutation in it.
    """

    route: str
    ask: Ask
    writes: tuple[str, ...]
    status: int = 200
    keeps: tuple[str, ...] = ()
    repeats: bool = True
    stores: bool = True
    reports: bool = False
    note: str = ""

    def __str__(self) -> str:
        """Name the test."""
        return f"{self.route} {self.note}".strip()


def _refused(method: str, path: str, below: str = "/clusters") -> Case:
    """Return the case of a privileged route of a cluster that a member is refused."""

    async def ask(stage: Stage) -> Call:
        return Call(method, f"{ORG_PATH}{below}/{CLUSTER_ID}{path}", token=stage.bob)

    route = f"{method} /api/orgs/{{org_id}}{below}/{{cluster_id}}{path}"
    return Case(route, ask, ("cluster.action_denied",), status=403, note="refused")


# What a test leaves, wherever it breaks off: its message, and what is known of the attempt.
TESTED = ("job_lease", "notify_message", "notify_attempt", "notify_destination")

CASES = (
    # tokens
    Case(
        "POST /api/orgs/{org_id}/pats",
        simple("POST", f"{ORG_PATH}/pats", {"name": "ci", "scopes": ["audit:read"]}),
        ("pat.created",),
        status=201,
    ),
    Case(
        "DELETE /api/orgs/{org_id}/pats/{pat_id}",
        simple("DELETE", f"{ORG_PATH}/pats/{BOB_PAT}"),
        ("pat.revoked",),
    ),
    # sessions
    Case("DELETE /api/session", asked.sign_out, ("auth.signout",)),
    Case("DELETE /api/sessions/{session_id}", asked.end_another_session, ("auth.signout",)),
    Case(
        "POST /api/auth/link/{token}",
        asked.sign_in_by_link,
        ("auth.signin",),
        status=303,
    ),
    Case(
        "GET /api/auth/oidc/callback",
        asked.sign_in_by_provider,
        ("org_member.auto_joined", "auth.signin"),
        status=303,
        keeps=("login",),
        repeats=False,
    ),
    # orgs
    Case(
        "POST /api/orgs",
        simple("POST", "/api/orgs", {"name": "New"}),
        ("org.created", "org_member.joined"),
        status=201,
    ),
    Case(
        "PATCH /api/orgs/{org_id}",
        simple("PATCH", ORG_PATH, {"name": "Other"}),
        ("org.updated",),
    ),
    Case("DELETE /api/orgs/{org_id}", simple("DELETE", ORG_PATH), ("org.deleted",), status=204),
    # members
    Case(
        "PATCH /api/orgs/{org_id}/members/{user_id}",
        simple("PATCH", f"{ORG_PATH}/members/{BOB_ID}", {"role": "auditor"}),
        ("org_member.role_changed",),
    ),
    Case(
        "DELETE /api/orgs/{org_id}/members/{user_id}",
        simple("DELETE", f"{ORG_PATH}/members/{BOB_ID}"),
        ("org_member.removed", "pat.revoked"),
        status=204,
    ),
    # invitations
    Case(
        "POST /api/orgs/{org_id}/invitations",
        simple("POST", f"{ORG_PATH}/invitations", {"email": "c@acme.com", "role": "viewer"}),
        ("org_invitation.created",),
        status=201,
    ),
    Case(
        "POST /api/orgs/{org_id}/invitations/{invitation_id}/resend",
        asked.resend,
        ("org_invitation.created",),
    ),
    Case(
        "DELETE /api/orgs/{org_id}/invitations/{invitation_id}",
        asked.revoke_invitation,
        ("org_invitation.revoked",),
        status=204,
    ),
    Case(
        "POST /api/invitations/accept",
        asked.accept,
        ("org_invitation.accepted", "org_member.joined"),
    ),
    # clusters
    Case(
        "POST /api/orgs/{org_id}/clusters",
        simple("POST", f"{ORG_PATH}/clusters", {"name": "stage", "environment": "staging"}),
        ("cluster.created",),
        status=201,
    ),
    Case(
        "PATCH /api/orgs/{org_id}/clusters/{cluster_id}",
        simple("PATCH", CLUSTER_PATH, {"labels": {"team": "payments"}}),
        ("cluster.updated",),
    ),
    Case(
        "DELETE /api/orgs/{org_id}/clusters/{cluster_id}",
        simple("DELETE", CLUSTER_PATH),
        ("cluster.deleted",),
    ),
    Case(
        "POST /api/orgs/{org_id}/clusters/{cluster_id}/rotate-token",
        simple("POST", f"{CLUSTER_PATH}/rotate-token"),
        ("cluster.token_rotated",),
    ),
    Case(
        "POST /api/orgs/{org_id}/clusters/{cluster_id}/upgrade-agent",
        simple("POST", f"{CLUSTER_PATH}/upgrade-agent", {"version": "9.9.9"}),
        ("cluster.agent.upgrade_requested",),
    ),
    _refused("PATCH", ""),
    _refused("DELETE", ""),
    _refused("POST", "/rotate-token"),
    _refused("POST", "/upgrade-agent"),
    # single sign-on
    Case(
        "POST /api/orgs/{org_id}/sso/portal",
        simple("POST", f"{ORG_PATH}/sso/portal", {"intent": "sso"}),
        ("org.sso.portal_opened",),
        keeps=("sso_portal", "sso_org", "outbox"),
    ),
    Case(
        "GET /api/auth/sso/callback",
        asked.sign_in_by_sso,
        ("org_member.sso_joined", "auth.signin", "org_member.auto_joined", "auth.signin"),
        status=303,
        keeps=("login",),
        repeats=False,
    ),
    # billing
    Case(
        "POST /api/orgs/{org_id}/billing/checkout",
        simple("POST", f"{ORG_PATH}/billing/checkout", {"plan": "team"}),
        ("billing.checkout_started",),
        keeps=("checkout_intent", "outbox"),
    ),
    Case("POST /api/orgs/{org_id}/billing/portal", asked.billing_portal, (), stores=False),
    Case(
        "POST /api/webhooks/stripe",
        asked.webhook,
        ("billing.subscription_changed",),
        keeps=("subscription_fetch",),
    ),
    # the audit policy
    Case(
        "DELETE /api/orgs/{org_id}/audit/settings/grants/{cluster_id}",
        asked.revoke_grant,
        ("audit.policy_changed",),
    ),
    Case(
        "POST /api/orgs/{org_id}/audit/settings/takeover",
        asked.take_over,
        ("audit.policy_changed",),
    ),
    Case(
        "POST /api/orgs/{org_id}/audit/settings/release/{cluster_id}",
        asked.agree_to_release,
        ("audit.policy_changed",),
    ),
    Case("PUT /api/agent/owners/{owner_id}", asked.put_owner, ("audit.policy_changed",)),
    Case(
        "DELETE /api/agent/owners/{owner_id}",
        asked.delete_owner,
        ("audit.policy_changed",),
        status=204,
    ),
    Case(
        "POST /api/agent/owners/{owner_id}/destinations/{name}/test",
        asked.try_destination,
        (),
        keeps=TESTED,
        repeats=False,
    ),
    # destinations
    Case(
        "POST /api/orgs/{org_id}/destinations",
        simple("POST", f"{ORG_PATH}/destinations", destinations.MAIL),
        ("audit.policy_changed",),
        status=201,
    ),
    Case(
        "PATCH /api/orgs/{org_id}/destinations/{destination_id}",
        destinations.change,
        ("audit.policy_changed",),
    ),
    Case(
        "DELETE /api/orgs/{org_id}/destinations/{destination_id}",
        destinations.delete,
        ("audit.policy_changed",),
        status=204,
    ),
    Case(
        "POST /api/orgs/{org_id}/destinations/{destination_id}/enable",
        destinations.enable,
        ("audit.policy_changed",),
    ),
    Case(
        "POST /api/orgs/{org_id}/destinations/{destination_id}/test",
        destinations.try_one,
        (),
        keeps=TESTED,
        repeats=False,
    ),
    Case(
        "POST /api/orgs/{org_id}/destinations/{destination_id}/replay",
        destinations.replay,
        ("audit.policy_changed",),
    ),
    Case(
        "POST /api/orgs/{org_id}/audit/policy/alerts/preview",
        simple("POST", f"{ORG_PATH}/audit/policy/alerts/preview", {"rules": [], "days": 1}),
        (),
        stores=False,
        reports=True,
    ),
    Case("POST /api/agent/operator-heartbeat", asked.operator_heartbeat, ("audit.policy_changed",)),
    Case(
        "PUT /api/orgs/{org_id}/audit/policy",
        simple("PUT", f"{ORG_PATH}/audit/policy", {"retention": {"max_age_hours": 100}}),
        ("audit.policy_changed",),
    ),
    Case(
        "POST /api/orgs/{org_id}/audit/settings/override",
        simple("POST", f"{SETTINGS_PATH}/override", {"retention": {"max_age_hours": 100}}),
        ("audit.policy_changed",),
    ),
    Case(
        "PUT /api/orgs/{org_id}/audit/settings/grants/{cluster_id}",
        simple("PUT", f"{SETTINGS_PATH}/grants/{CLUSTER_ID}"),
        ("audit.policy_changed",),
    ),
    _refused("PUT", "", "/audit/settings/grants"),
    _refused("DELETE", "", "/audit/settings/grants"),
    _refused("POST", "", "/audit/settings/release"),
    # a person's own inbox
    Case("POST /api/inbox/read", simple("POST", "/api/inbox/read", {"all": True}), ()),
    Case(
        "PUT /api/inbox/preferences",
        simple("PUT", "/api/inbox/preferences", {"by_mail": {"cluster.disconnected": True}}),
        (),
    ),
    Case("DELETE /api/inbox/{notice_id}", inbox.delete, (), status=204),
    Case("POST /api/inbox/unsubscribe/{token}", inbox.end_mails, ()),
    # collectors
    Case("POST /api/agent/heartbeat", asked.heartbeat, ()),
    Case(
        "POST /api/ingest/events",
        asked.ingest,
        ("pod.exec_started", "pod.exec_ended"),
        reports=True,
    ),
    # another control plane
    Case("POST /api/orgs/{org_id}/audit/events", asked.record, ALLOWED, reports=True),
)
