"""The pages to be walked: their addresses, who may see them, and forms that are refused.

Owns the lists. Every page is opened as each role, checked by axe and photographed; one that is
added to the hub is added here. {org} is the org with a log, {empty} the one without, {paid} and
{owed} have subscriptions, {event} and {cluster} are what the full one has.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.page_world import EMPTY, FULL, OWED, PAID, PageWorld

ROLES = ("owner", "auditor", "member", "viewer")


@dataclass(frozen=True)
class Stop:
    """A page: `who` may see it (empty: it needs no session), and the status they get."""

    name: str
    path: str
    who: tuple[str, ...] = ROLES
    status: int = 200


READERS = ("owner", "auditor")
OWNER = ("owner",)
STOPS = (
    Stop("activity", "/orgs/{org}/activity", READERS),
    Stop("activity-filtered", "/orgs/{org}/activity?q=action:pod.*&range=24h", READERS),
    Stop("activity-mistake", "/orgs/{org}/activity?q=actoin:x", READERS, 400),
    Stop("activity-nothing", "/orgs/{org}/activity?q=nothing-has-this-word", READERS),
    Stop("activity-empty", "/orgs/{empty}/activity", READERS),
    Stop("activity-custom", "/orgs/{org}/activity?q=created:>=2026-11-15", READERS),
    Stop("event", "/orgs/{org}/activity/{event}", READERS),
    Stop("event-unknown", "/orgs/{org}/activity/ae_00000000000000000000000000", READERS, 404),
    Stop("sessions", "/orgs/{org}/sessions", READERS),
    Stop("sessions-open", "/orgs/{org}/sessions?state=open", READERS),
    Stop("sessions-empty", "/orgs/{empty}/sessions", READERS),
    *(
        Stop(f"{name}{ending}", f"/orgs/{org}/{name}", who)
        for name, who in (
            ("settings", OWNER),
            ("members", OWNER),
            ("clusters", ROLES),
            ("clusters/new", ("owner", "member")),
            ("tokens", ("owner", "member")),
            ("tokens?user=all", OWNER),
            ("notifications", OWNER),
            ("notifications/rules/new", OWNER),
            ("retention", OWNER),
            ("retention/new-exception", OWNER),
            ("billing", OWNER),
            ("sign-in", OWNER),
            ("leave", ROLES),
        )
        for org, ending in (("{org}", ""), ("{empty}", "-empty"))
    ),
    *(
        Stop(f"new-{kind}", f"/orgs/{{org}}/notifications/destinations/new?kind={kind}", OWNER)
        for kind in ("slack", "webhook", "email", "teams", "pagerduty")
    ),
    Stop("cluster", "/orgs/{org}/clusters/{cluster}"),
    Stop("destination", "/orgs/{org}/notifications/destinations/{destination}", OWNER),
    Stop(
        "delivery",
        "/orgs/{org}/notifications/destinations/{destination}/deliveries/{delivery}",
        OWNER,
    ),
    Stop("rule", "/orgs/{org}/notifications/rules/shells", OWNER),
    Stop("exception", "/orgs/{org}/retention/exceptions/sign-ins", OWNER),
    Stop("billing-paid", "/orgs/{paid}/billing", OWNER),
    Stop("billing-owed", "/orgs/{owed}/billing", OWNER),
    Stop("org-unknown", "/orgs/org_nobody_has", ROLES, 404),
    Stop("nothing-here", "/nothing/here", ROLES, 404),
    # Who may read the log is sent on to it.
    Stop("org-home", "/orgs/{org}", ("viewer", "member", "auditor", "owner")),
    Stop("orgs", "/", ROLES),
    Stop("new-org", "/orgs/new", ROLES),
    Stop("preferences", "/preferences", ROLES),
    Stop("inbox", "/inbox"),
    Stop("inbox-unread", "/inbox?unread=true"),
    Stop("inbox-preferences", "/inbox/preferences"),
    Stop("invitation", "/invitations/accept", ROLES),
)
OUTSIDE = (
    Stop("sign-in", "/signin"),
    Stop("sign-in-link", "/api/auth/link/rhl_" + "A" * 43),
    Stop("sign-in-refused", "/api/auth/oidc/callback?state=x&code=y", status=403),
    Stop("invitation-outside", "/invitations/accept"),
)


# What looks different to others than to the owner: a menu of their own, no buttons, a refusal.
BY_ROLE = {
    "auditor": ("activity-nothing", "clusters", "members"),
    "member": ("org-home", "clusters", "tokens"),
    "viewer": ("org-home", "clusters-empty", "cluster", "leave", "activity"),
}


@dataclass(frozen=True)
class Refusal(Stop):
    """A form that is sent with what cannot be: `typed` by the fields' labels, then a `button`."""

    typed: tuple[tuple[str, str], ...] = ()
    button: str = "Save"


REFUSALS = (
    Refusal(
        "settings-refused",
        "/orgs/{org}/settings",
        OWNER,
        422,
        (("Tokens expire after (days)", "soon"),),
    ),
    Refusal(
        "rule-refused",
        "/orgs/{org}/notifications/rules/new",
        OWNER,
        422,
        (("Name", "No Such Name"), ("Query", "actoin:x")),
    ),
    Refusal(
        "destination-refused",
        "/orgs/{org}/notifications/destinations/new?kind=webhook",
        OWNER,
        422,
        (("Name", "siem"), ("Address", "http://siem.example.com")),
        "Add destination",
    ),
    Refusal("retention-refused", "/orgs/{org}/retention", OWNER, 422, (("Keep events for", "0"),)),
    Refusal(
        "exception-refused",
        "/orgs/{org}/retention/new-exception",
        OWNER,
        422,
        (("Name", "pods"), ("Actions", "pod.exec_start"), ("Keep them for", "9")),
        "Add exception",
    ),
)


def path_of(stop: Stop, world: PageWorld) -> str:
    """Return the address of a stop in this world."""
    orgs = {"org": FULL, "empty": EMPTY, "paid": PAID, "owed": OWED}
    return stop.path.format(event=world.event_id, **orgs, **world.ids)
