"""Which pages there are, and who may see them: written by hand, as the contract has it.

Owns the rows; the matrix of test_who_may_see.py asks for each page as everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

ANYBODY = "anybody"  # also without a session
PERSON = "person"  # whoever is signed in
EVERYBODY = "owner auditor member viewer"  # every member of the org


@dataclass(frozen=True)
class Row:
    """A route: `who` may, and what they get (a page, or somewhere else to go)."""

    method: str
    path: str
    who: str
    passing: int = 200


_ORG = "/orgs/{org_id}"
_DESTINATION = _ORG + "/notifications/destinations/{destination_id}"

TABLE = (
    Row("GET", "/", PERSON, 303),
    Row("GET", "/static/{name}", ANYBODY, 404),
    Row("GET", "/signin", ANYBODY),
    Row("POST", "/signin/sso", ANYBODY, 404),
    Row("POST", "/signout", PERSON, 303),
    Row("GET", "/orgs/new", PERSON),
    Row("POST", "/orgs/new", PERSON, 422),
    Row("GET", "/invitations/accept", ANYBODY),
    Row("POST", "/invitations/accept", PERSON, 404),
    Row("GET", "/preferences", PERSON),
    Row("GET", "/inbox", PERSON),
    Row("POST", "/inbox/read", PERSON, 303),
    Row("GET", "/inbox/preferences", PERSON),
    Row("POST", "/inbox/preferences", PERSON, 303),
    Row("POST", "/inbox/{notice_id}/delete", PERSON, 404),
    Row("POST", "/preferences/zone", PERSON, 422),
    Row("GET", _ORG, EVERYBODY),
    Row("GET", f"{_ORG}/activity", "owner auditor"),
    Row("GET", f"{_ORG}/activity/{{event_id}}", "owner auditor", 404),
    Row("POST", f"{_ORG}/activity/views", "owner auditor", 422),
    Row("POST", f"{_ORG}/activity/views/{{view_id}}/delete", "owner auditor", 404),
    Row("GET", f"{_ORG}/sessions", "owner auditor"),
    Row("GET", f"{_ORG}/settings", "owner"),
    Row("POST", f"{_ORG}/settings", "owner", 422),
    Row("POST", f"{_ORG}/settings/delete", "owner", 422),
    Row("GET", f"{_ORG}/leave", EVERYBODY),
    Row("POST", f"{_ORG}/leave", EVERYBODY, 303),
    Row("GET", f"{_ORG}/members", "owner"),
    Row("POST", f"{_ORG}/members/{{user_id}}/role", "owner", 422),
    Row("POST", f"{_ORG}/members/{{user_id}}/remove", "owner", 404),
    Row("POST", f"{_ORG}/invitations", "owner", 422),
    Row("POST", f"{_ORG}/invitations/{{invitation_id}}/resend", "owner", 404),
    Row("POST", f"{_ORG}/invitations/{{invitation_id}}/revoke", "owner", 404),
    Row("GET", f"{_ORG}/clusters", EVERYBODY),
    Row("GET", f"{_ORG}/clusters/new", "owner member"),
    Row("POST", f"{_ORG}/clusters/new", "owner member", 422),
    Row("GET", f"{_ORG}/clusters/{{cluster_id}}", EVERYBODY, 404),
    Row("POST", f"{_ORG}/clusters/{{cluster_id}}", "owner", 404),
    Row("POST", f"{_ORG}/clusters/{{cluster_id}}/rotate-token", "owner", 404),
    Row("POST", f"{_ORG}/clusters/{{cluster_id}}/upgrade", "owner", 404),
    Row("POST", f"{_ORG}/clusters/{{cluster_id}}/delete", "owner", 404),
    Row("GET", f"{_ORG}/tokens", "owner member"),
    Row("POST", f"{_ORG}/tokens", "owner member", 422),
    Row("POST", f"{_ORG}/tokens/{{pat_id}}/revoke", "owner member", 404),
    Row("GET", f"{_ORG}/notifications", "owner"),
    Row("GET", f"{_ORG}/notifications/destinations/new", "owner"),
    Row("POST", f"{_ORG}/notifications/destinations/new", "owner", 422),
    Row("GET", f"{_DESTINATION}", "owner", 404),
    Row("POST", f"{_DESTINATION}", "owner", 404),
    Row("POST", f"{_DESTINATION}/test", "owner", 404),
    Row("POST", f"{_DESTINATION}/enable", "owner", 404),
    Row("POST", f"{_DESTINATION}/delete", "owner", 404),
    Row("POST", f"{_DESTINATION}/replay", "owner", 404),
    Row("GET", f"{_DESTINATION}/deliveries/{{message_id}}", "owner", 404),
    Row("GET", f"{_ORG}/notifications/rules/new", "owner"),
    Row("POST", f"{_ORG}/notifications/rules/new", "owner", 409),
    Row("GET", f"{_ORG}/notifications/rules/{{rule}}", "owner", 404),
    Row("POST", f"{_ORG}/notifications/rules/{{rule}}", "owner", 404),
    Row("POST", f"{_ORG}/notifications/rules/{{rule}}/delete", "owner", 404),
    Row("GET", f"{_ORG}/retention", "owner"),
    Row("POST", f"{_ORG}/retention", "owner", 422),
    Row("POST", f"{_ORG}/retention/holds", "owner", 409),
    Row("POST", f"{_ORG}/retention/holds/release", "owner", 409),
    Row("POST", f"{_ORG}/retention/override", "owner", 422),
    Row("GET", f"{_ORG}/retention/new-exception", "owner"),
    Row("POST", f"{_ORG}/retention/new-exception", "owner", 422),
    Row("GET", f"{_ORG}/retention/exceptions/{{exception}}", "owner", 404),
    Row("POST", f"{_ORG}/retention/exceptions/{{exception}}", "owner", 404),
    Row("POST", f"{_ORG}/retention/exceptions/{{exception}}/delete", "owner", 404),
    Row("GET", f"{_ORG}/billing", "owner"),
    Row("POST", f"{_ORG}/billing/checkout", "owner", 409),
    Row("POST", f"{_ORG}/billing/portal", "owner", 409),
    Row("GET", f"{_ORG}/sign-in", "owner"),
    Row("POST", f"{_ORG}/sign-in/portal", "owner", 422),
)
