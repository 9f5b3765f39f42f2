"""From what a person types to the one thing that is meant.

Owns the look-up of clusters, members, invitations and tokens by name, e-mail
or id. Called by the administering commands. Never guesses: a name that several
have is refused with their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from radar_audit_events.ids import is_opaque_id

from .errors import ArgumentError, CliError, RefusedError

if TYPE_CHECKING:
    from .hub_client import HubClient

_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Found:
    """What is meant: its id, and its name (the id again where it has none)."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing: its list in the API, the prefix of its ids, and the key of its name."""

    noun: str
    plural: str
    prefix: str
    name_key: str
    id_key: str = "id"

    def is_id(self, text: str) -> bool:
        """Tell whether a text has the form of this kind's ids."""
        return text.startswith(f"{self.prefix}_")

    def found(self, item: Mapping[str, Any]) -> Found:
        """Return the id and the name of an item of the list."""
        item_id = str(item.get(self.id_key))
        return Found(item_id, str(item.get(self.name_key) or item_id))


CLUSTER = Kind("cluster", "clusters", "cl", "name")
MEMBER = Kind("member", "members", "user", "email", "user_id")
INVITATION = Kind("invitation", "invitations", "inv", "email")
DESTINATION = Kind("destination", "destinations", "nd", "name")
PAT = Kind("token", "pats", "pat", "name")


def find_one(
    client: HubClient,
    kind: Kind,
    text: str,
    *,
    among: Callable[[Mapping[str, Any]], bool] = lambda _: True,
) -> Found:
    """Return the entry of the list that has `text` as its id, or as its name where `among` it.

    An id is taken as it is where the list does not show it, or may not be read:
    the hub knows better. Raises CliError for no such name, ArgumentError for several.
    """
    if not text.strip():
        raise ArgumentError(f"the {kind.noun} is empty: give its {kind.name_key} or its id")
    if text.startswith(("rhp_", "rhc_")):
        raise ArgumentError(
            "that is a token itself, which no longer is a secret on a command line",
            hint=f"revoke it by its name or id: radar-audit {kind.plural} list",
        )
    wanted = text.strip().casefold()
    try:
        pages = client.listed(client.in_org(kind.plural), kind.plural)
        items = [(kind.found(item), item) for page in pages for item in page.items]
    except RefusedError as exc:
        if exc.status == _FORBIDDEN and kind.is_id(text):
            return Found(text, text)
        raise
    found = [each for each, _ in items if each.id == text] or [
        each for each, item in items if each.name.casefold() == wanted and among(item)
    ]
    if len(found) == 1:
        return found[0]
    if not found and kind.is_id(text):
        return Found(text, text)
    if not found:
        raise CliError(
            f"there is no {kind.noun} {text!r}", hint=f"radar-audit {kind.plural} list shows them"
        )
    ids = ", ".join(each.id for each in found[:10])
    raise ArgumentError(f"{len(found)} {kind.plural} are called {text!r}", hint=f"name one: {ids}")


def id_for(client: HubClient, kind: Kind, text: str) -> str:
    """Return an id as it is, without a look at the list, and a name's id. Raises as `find_one`."""
    return text if kind.is_id(text) else find_one(client, kind, text).id


def checked_org(text: str) -> str:
    """Return an organization's id. Raises ArgumentError if it is none."""
    if not is_opaque_id("org", text):
        raise ArgumentError(f"{text!r} is no organization's id: one begins with org_")
    return text
