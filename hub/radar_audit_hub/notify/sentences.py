"""One sentence for people about an event: who did what to what.

Owns a sentence for each action of the table. Called where messages are made, by the inbox and by
the pages. Pure. A sentence is one line; it is not escaped: each channel does that by its own rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from radar_audit_events.actions import ACTIONS
from radar_audit_events.event import Event

MAX_NAME_CHARS = 120  # of a name in a sentence, which people may make as long as they like
Words = Callable[[Event], str]


def sentence(event: Event) -> str:
    """Return what happened, such as `alice@acme.com opened a terminal in prod/web (cluster eu)`.

    A value that is absent, or of a form that no schema has, is left out or named by what it is.
    """
    words = _SENTENCES.get(event.action)
    if words is None:  # stored by a later version of the hub
        return f"{_actor(event)}: {event.action}"
    text = f"{_actor(event)} {words(event)}"
    by = event.metadata.get("via_pat")
    return f"{text} (with the token {_short(by)})" if isinstance(by, str) else text


def title_of(action: str) -> str:
    """Return the title of an action, its name if the table has none."""
    row = ACTIONS.get(action)
    return action if row is None else row.title


def _actor(event: Event) -> str:
    return _short(event.actor_email or event.actor_user_id or "Radar")


def _short(text: str) -> str:
    """Return a name on one line, cut where it is too long for a sentence."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= MAX_NAME_CHARS else text[: MAX_NAME_CHARS - 1] + "…"


def _text(event: Event, key: str, instead: str) -> str:
    """Return a value of the metadata as text, `instead` where there is none."""
    found = event.metadata.get(key)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        return instead
    return _short(str(found))


def _pod(event: Event) -> str:
    """Return where a terminal was: namespace, pod and cluster."""
    place = f"{_text(event, 'namespace', '?')}/{_text(event, 'pod', '?')}"
    cluster = _text(event, "cluster_name", event.cluster_id or "?")
    return f"{place} (cluster {cluster})"


def _named(what: str) -> Words:
    """Say what was done to a thing that its metadata names."""
    return lambda event: f"{what} {_text(event, 'name', event.target_id)}"


def _plain(what: str) -> Words:
    return lambda _: what


def _denied(event: Event) -> str:
    attempted = _text(event, "attempted_action", "an action")
    pod = event.metadata.get("pod")
    place = f" in {_pod(event)}" if isinstance(pod, str) else f" on {_short(event.target_id)}"
    return f"was denied {attempted}{place}; it needs the role {_text(event, 'required_role', '?')}"


def _ended(event: Event) -> str:
    found = event.metadata.get("duration_ms")
    lasted = f" after {_lasted(found)}" if isinstance(found, int) else ""
    return f"closed the terminal in {_pod(event)}{lasted}"


def _lasted(duration_ms: int) -> str:
    seconds = duration_ms // 1000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _changed(what: str) -> Words:
    def words(event: Event) -> str:
        changes = event.metadata.get("changes")
        names = sorted(changes) if isinstance(changes, Mapping) else []
        told = _short(", ".join(map(str, names)))
        return f"changed {what}" + (f" ({told})" if told else "")

    return words


def _invitation(what: str) -> Words:
    return lambda event: f"{what} {_text(event, 'email', 'somebody')} as {_role(event)}"


def _role(event: Event) -> str:
    return _text(event, "role", "member")


def _removed(event: Event) -> str:
    return f"removed {_text(event, 'email', event.target_id)} ({_role(event)})"


def _role_changed(event: Event) -> str:
    before = _text(event, "previous_role", "?")
    return f"changed the role of {_short(event.target_id)} from {before} to {_role(event)}"


def _subscription(event: Event) -> str:
    reason = _text(event, "reason", "")
    before, after = _text(event, "previous_plan", "none"), _text(event, "plan", "none")
    plans = f"from {before} to {after}" if before != after else f"on the plan {after}"
    told = f"changed the subscription {plans}"
    return f"{told} ({reason})" if reason else told


def _upgrade(event: Event) -> str:
    version = _text(event, "requested_version", "?")
    return f"asked for version {version} of Radar in {_short(event.target_id)}"


def _pruned(event: Event) -> str:
    return f"deleted {_text(event, 'count', 'some')} events that had expired"


def _policy(event: Event) -> str:
    owner: Any = event.metadata.get("owner")
    whose = f" of {_short(owner)}" if isinstance(owner, str) else ""
    return f"changed the audit policy{whose} ({_text(event, 'kind', '?')})"


def _exported(event: Event) -> str:
    return f"exported the audit log as {_text(event, 'format', '?')}"


_SENTENCES: Mapping[str, Words] = {
    "cluster.created": _named("registered the cluster"),
    "cluster.updated": _changed("a cluster"),
    "cluster.deleted": _named("deleted the cluster"),
    "cluster.token_rotated": _named("rotated the token of the cluster"),
    "cluster.action_denied": _denied,
    "cluster.agent.upgrade_requested": _upgrade,
    "pod.exec_started": lambda event: f"opened a terminal in {_pod(event)}",
    "pod.exec_ended": _ended,
    "org.created": _named("created the organization"),
    "org.updated": _changed("the organization"),
    "org.deleted": _named("deleted the organization"),
    "org.sso.portal_opened": lambda e: f"opened the SSO portal ({_text(e, 'intent', '?')})",
    "org_invitation.created": _invitation("invited"),
    "org_invitation.accepted": _invitation("accepted the invitation of"),
    "org_invitation.revoked": _invitation("revoked the invitation of"),
    "org_member.joined": lambda event: f"joined as {_role(event)}",
    "org_member.auto_joined": lambda e: f"joined by {_text(e, 'domain', '?')} as {_role(e)}",
    "org_member.sso_joined": lambda event: f"joined by SSO as {_role(event)}",
    "org_member.removed": _removed,
    "org_member.role_changed": _role_changed,
    "pat.created": _named("created the access token"),
    "pat.revoked": _named("revoked the access token"),
    "billing.checkout_started": lambda e: f"began to buy the plan {_text(e, 'plan', '?')}",
    "billing.subscription_changed": _subscription,
    "auth.signin": lambda event: f"signed in by {_text(event, 'method', '?')}",
    "auth.signout": _plain("signed out"),
    "audit.retention_pruned": _pruned,
    "audit.policy_changed": _policy,
    "audit.exported": _exported,
    "audit.viewed": _plain("read the audit log"),
}
