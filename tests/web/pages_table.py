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
    Row("POST", "/preferences/zone", PERSON, 422),
    Row("GET", _ORG, EVERYBODY),
    Row("GET", f"{_ORG}/activity", "owner auditor"),
    Row("GET", f"{_ORG}/activity/{{event_id}}", "owner auditor", 404),
    Row("POST", f"{_ORG}/activity/views", "owner auditor", 422),
    Row("POST", f"{_ORG}/activity/views/{{view_id}}/delete", "owner auditor", 404),
    Row("GET", f"{_ORG}/sessions", "owner auditor"),
)
