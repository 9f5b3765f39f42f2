"""The menu of an organization's pages, by role: one line a page.

Owns the list. Called by the layout. A line that a role may not follow is not shown, but that is a
courtesy: each handler names its roles itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_hub.auth.principal import AUDITOR, LOG_READERS, MEMBER, OWNER, VIEWER


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the menu: `path` is what comes after /orgs/{org_id}/, `roles` who sees it.

    `about` says what is there, where there is room for it: to those who begin with the menu.
    """

    title: str
    path: str
    roles: tuple[str, ...]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Lines under a heading."""

    title: str
    items: tuple[Item, ...]


EVERYBODY = (OWNER, AUDITOR, MEMBER, VIEWER)
GROUPS = (
    Group(
        "Audit log",
        (
            Item("Activity", "activity", LOG_READERS),
            Item("Sessions", "sessions", LOG_READERS),
        ),
    ),
    Group(
        "Settings",
        (
            Item("Organization", "settings", (OWNER,)),
            Item("Members", "members", (OWNER,)),
            Item("Clusters", "clusters", EVERYBODY, "which are connected, and since when"),
            Item("Access tokens", "tokens", (OWNER, MEMBER), "for programs and the command line"),
            Item("Notifications", "notifications", (OWNER,)),
            Item("Retention", "retention", (OWNER,)),
            Item("Plan and billing", "billing", (OWNER,)),
            Item("Sign-in", "sign-in", (OWNER,)),
            Item("Leave", "leave", (AUDITOR, MEMBER, VIEWER), "end your membership"),
        ),
    ),
)


def menu(role: str) -> list[Group]:
    """Return the groups with the lines that a role sees, without those that would be empty."""
    shown = (
        Group(group.title, tuple(item for item in group.items if role in item.roles))
        for group in GROUPS
    )
    return [group for group in shown if group.items]


def is_current(org_id: str, item: Item, path: str) -> bool:
    """Tell whether the address of a page is a line's, or below it."""
    address = f"/orgs/{org_id}/{item.path}"
    return path == address or path.startswith(address + "/")
