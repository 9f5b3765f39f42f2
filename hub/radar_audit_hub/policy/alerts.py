"""What the alerts of an owner's document may say: destinations and rules. Pure.

Owns their checks. Called by `documents.py` for the whole document, and so for what is asked by
the API, by a page and by an AuditPolicy alike. Never stores anything; a message never repeats a
secret, nor the URL that is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from urllib.parse import urlsplit

from radar_audit_events.policy_wire import (
    MAX_DESTINATIONS,
    MAX_RULES,
    NOTICE_KINDS,
    AlertRule,
    Destination,
    NotificationSettings,
    WebhookTarget,
)
from radar_audit_events.receiver_keys import (
    routing_key_mistake,
    signing_key_mistake,
    signing_secret_mistake,
)

from .mistakes import NAME, Mistakes, named

MAX_ADDRESSES = 20
CHANNELS = ("slack", "webhook", "email", "teams", "pagerduty")
CLUSTER_KINDS = tuple(kind for kind in NOTICE_KINDS if kind.startswith("cluster."))
DAY_SECONDS = 86_400
_CLOCK = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_EMAIL = re.compile(r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}\Z")
_URL = re.compile(r"^https://[^/?#@\s\\]+(?:[/?#][^\s]*)?\Z")
_MAX_URL_CHARS = 2048


def check_alerts(
    found: Mistakes, asked: NotificationSettings, scope: str, knows_zone: Callable[[str], bool]
) -> None:
    """Note what is wrong with an owner's alerts; `scope` is its document's."""
    at = "notifications"
    targets = set()
    for place, target in named(found, f"{at}.destinations", asked.destinations, MAX_DESTINATIONS):
        targets.add(target.name)
        _destination(found, place, target)
    for place, rule in named(found, f"{at}.rules", asked.rules, MAX_RULES):
        _rule(found, place, rule, targets, knows_zone)
        _kinds(found, f"{place}.kinds", rule, asked, scope)
    if asked.only_namespace is not None and not NAME.match(asked.only_namespace):
        found.refuse(f"{at}.only_namespace", "must be the name of a namespace")


def _destination(found: Mistakes, at: str, target: Destination) -> None:
    if len([kind for kind in CHANNELS if getattr(target, kind) is not None]) != 1:
        found.refuse(at, "must have exactly one of slack, webhook, email, teams and pagerduty")
    if target.slack is not None and target.slack.url is not None:
        _url(found, f"{at}.slack.url", target.slack.url)
    if target.teams is not None and target.teams.url is not None:
        _url(found, f"{at}.teams.url", target.teams.url)
    if target.webhook is not None:
        _webhook(found, f"{at}.webhook", target.webhook)
    if target.pagerduty is not None and target.pagerduty.routing_key is not None:
        mistake = routing_key_mistake(target.pagerduty.routing_key)
        if mistake is not None:
            found.refuse(f"{at}.pagerduty.routing_key", mistake)
    if target.email is not None:
        if not 1 <= len(target.email.to) <= MAX_ADDRESSES:
            found.refuse(f"{at}.email.to", f"must be 1 to {MAX_ADDRESSES} addresses")
        if any(not _EMAIL.match(address) for address in target.email.to):
            found.refuse(f"{at}.email.to", "must be addresses such as ops@acme.com")
    found.time(f"{at}.muted_until", target.muted_until)


def _webhook(found: Mistakes, at: str, hook: WebhookTarget) -> None:
    _url(found, f"{at}.url", hook.url)
    for name, mistake_in in (
        ("signing_secret", signing_secret_mistake),
        ("previous_signing_secret", signing_secret_mistake),
        ("signing_key", signing_key_mistake),
        ("previous_signing_key", signing_key_mistake),
    ):
        key = getattr(hook, name)
        mistake = None if key is None else mistake_in(key)
        if mistake is not None:
            found.refuse(f"{at}.{name}", mistake)


def _rule(
    found: Mistakes,
    at: str,
    rule: AlertRule,
    targets: Collection[str],
    knows_zone: Callable[[str], bool],
) -> None:
    if not rule.actions and rule.query is None and not rule.kinds:
        found.refuse(at, "needs actions, a query, kinds, or several of them")
    if len(rule.actions) > 16:
        found.refuse(f"{at}.actions", "must be at most 16 actions")
    for pattern in rule.actions[:16]:
        found.action(f"{at}.actions", pattern)
    found.query(f"{at}.query", rule.query)
    if not 1 <= len(rule.destinations) <= 8:
        found.refuse(f"{at}.destinations", "must be 1 to 8 names")
    if not set(rule.destinations) <= set(targets):
        found.refuse(f"{at}.destinations", "must be names of notifications.destinations")
    _pace(found, at, rule)
    found.time(f"{at}.muted_until", rule.muted_until)
    quiet = rule.quiet_hours
    if quiet is not None:
        if not (_CLOCK.match(quiet.from_time) and _CLOCK.match(quiet.to_time)):
            found.refuse(f"{at}.quiet_hours", "must be times such as 22:00")
        if quiet.from_time == quiet.to_time:
            found.refuse(f"{at}.quiet_hours", "from_time and to_time must differ")
        if not knows_zone(quiet.time_zone):
            found.refuse(f"{at}.quiet_hours.time_zone", "must be a zone such as Europe/Berlin")


def _pace(found: Mistakes, at: str, rule: AlertRule) -> None:
    """Note what is wrong with how many messages a rule makes of its events."""
    for other in ("throttle", "grouping"):
        if rule.digest_seconds is not None and getattr(rule, other) is not None:
            found.refuse(at, f"digest_seconds and {other} exclude each other")
    if rule.throttle is not None:
        found.bounds(f"{at}.throttle.max", rule.throttle.max, 1, 1000)
        found.bounds(f"{at}.throttle.per_seconds", rule.throttle.per_seconds, 60, 999 * 3600)
    if rule.threshold is not None:
        within = rule.threshold.within_seconds
        found.bounds(f"{at}.threshold.count", rule.threshold.count, 2, 10_000)
        found.bounds(f"{at}.threshold.within_seconds", within, 60, DAY_SECONDS)
    if rule.grouping is not None:
        found.bounds(f"{at}.grouping.wait_seconds", rule.grouping.wait_seconds, 1, 3600)
    found.bounds(f"{at}.digest_seconds", rule.digest_seconds, 60, 7 * DAY_SECONDS)


def _kinds(
    found: Mistakes, at: str, rule: AlertRule, asked: NotificationSettings, scope: str
) -> None:
    """Note kinds that there are not, and those that are not this owner's to hear of."""
    if len(rule.kinds) > len(NOTICE_KINDS):
        found.refuse(at, f"must be at most {len(NOTICE_KINDS)} kinds")
        return
    for kind in rule.kinds:
        if kind not in NOTICE_KINDS:
            near = get_close_matches(kind, NOTICE_KINDS, 1)
            hint = near[0] if near else ", ".join(NOTICE_KINDS)
            found.refuse(at, f"names no known kind; {'the nearest is' if near else 'use'} {hint}")
        elif asked.only_namespace is not None:
            found.refuse(at, "are of no namespace, and these alerts are bound to one")
        elif kind not in CLUSTER_KINDS and scope != "organization":
            found.refuse(at, f"such as {kind} need the scope organization")


def _url(found: Mistakes, at: str, url: str) -> None:
    if len(url) > _MAX_URL_CHARS or not _URL.match(url) or not _has_host(url):
        found.refuse(
            at, f"must be an https URL without credentials, at most {_MAX_URL_CHARS} characters"
        )


def _has_host(url: str) -> bool:
    """Tell whether a URL names a host, and a port that there can be."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
