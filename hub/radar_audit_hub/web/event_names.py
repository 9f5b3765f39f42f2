"""What the ids in an event are called: by the event itself, or by what is looked up for them.

Owns which of an event's ids can have a name, and where in it the name stands. Called by
`event_rows.py`. Pure. A name of the event's own counts before any other: what was renamed since,
or is gone, is called as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radar_audit_events.errors import IdError
from radar_audit_events.policy_wire import parse_owner_id

from radar_audit_hub.store.query import StoredEvent

from .owner_words import owner_words

# The types whose target is a cluster, a person or the organization.
_NAMED_TARGETS = frozenset(("cluster", "org", "org_member", "auth"))


def own_names(event: StoredEvent, metadata: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the ids of an event that can have a name, each with the event's own name for it."""
    pairs: list[tuple[object, object]] = [
        (event.actor_user_id, event.actor_email),
        (metadata.get("cluster_id"), metadata.get("cluster_name")),
        (metadata.get("inviter_user_id"), metadata.get("inviter_email")),
        (_holders_cluster(metadata), None),
    ]
    if event.target_type in _NAMED_TARGETS:
        pairs.append((event.target_id, _name_of_target(metadata)))
    found: dict[str, str | None] = {}
    for one, name in pairs:
        if isinstance(one, str) and one and not found.get(one):
            found[one] = name if isinstance(name, str) and name else None
    return found


def holder_words(holder: str, names: Mapping[str, str]) -> str:
    """Return what a setting's holder is called, with its cluster; any other text as it is."""
    try:
        words = owner_words(holder)
    except IdError:
        return holder
    cluster_id = _cluster_of(holder)
    return words if cluster_id is None else f"{words} in {names.get(cluster_id, cluster_id)}"


def _name_of_target(metadata: Mapping[str, Any]) -> object:
    changes = metadata.get("changes")
    renamed = changes.get("name") if isinstance(changes, dict) else None
    if isinstance(renamed, list) and len(renamed) == 2:
        return renamed[1]
    return metadata.get("name") or metadata.get("email")


def _holders_cluster(metadata: Mapping[str, Any]) -> str | None:
    holder = metadata.get("owner")
    return _cluster_of(holder) if isinstance(holder, str) else None


def _cluster_of(holder: str) -> str | None:
    try:
        return parse_owner_id(holder).cluster_id
    except IdError:  # the organization itself
        return None
