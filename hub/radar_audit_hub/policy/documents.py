"""What an owner's document may say: pure.

Owns the checks that the API server's schema cannot make (queries, actions, references, zones) and
all that it can, since not only an operator may call. Called by the routes of the agent API and of
the org's own document. Never stores anything; a message never repeats a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Protocol, TypeVar

from radar_audit_events.actions import ACTIONS
from radar_audit_events.errors import FieldError, QueryError, TimeError
from radar_audit_events.ids import parse_ms
from radar_audit_events.matching import expand_action
from radar_audit_events.policy_wire import (
    MAX_AGE_HOURS,
    MAX_DESTINATIONS,
    MAX_HOLDS,
    MAX_OVERRIDES,
    MAX_RULES,
    MAX_SHRINK_DELAY_HOURS,
    MIN_AGE_HOURS,
    AlertRule,
    Destination,
    NotificationSettings,
    OwnerDocument,
    RetentionSettings,
)
from radar_audit_events.query import Value, parse

MAX_QUERY_CHARS = 512
MAX_REASON_CHARS = 256
MAX_ADDRESSES = 20
MAX_NAMES = 256
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_ACTION = re.compile(r"^(\*|[a-z_]+\.(\*|[a-z_.]+))\Z")
_CLOCK = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_EMAIL = re.compile(r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}\Z")
_URL = re.compile(r"^https://(?P<host>[^/?#@\s\\]+)(?:[/?#][^\s]*)?\Z")
_CLUSTER_TERM = f" cluster:cl_{'x' * 60}"  # the longest that limits a hold to its cluster
_PRINTABLE = re.compile(r"^[^\x00-\x1f\x7f\ud800-\udfff]+\Z")
_MAX_URL_CHARS = 2048
_MAX_SECRET_CHARS = 4096
_MAX_HASH_CHARS = 128
N = TypeVar("N", bound="_Named")


class Mistakes:
    """Mistakes found so far, by the code of the refusal they lead to."""

    def __init__(self) -> None:
        """Begin without any."""
        self.invalid: list[FieldError] = []
        self.queries: list[FieldError] = []
        self.actions: list[FieldError] = []

    def query(self, field: str, text: str | None, room: str = "") -> None:
        """Note a query that cannot be read, with the place and what was expected there.

        `room` is as much as will be added behind it.
        """
        if text is None:
            return
        if len(text) > MAX_QUERY_CHARS:
            self.invalid.append(FieldError(field, f"must be at most {MAX_QUERY_CHARS} characters"))
            return
        try:
            parse(text + room)
        except QueryError as error:
            place = f"at position {error.position}: expected {error.expected}"
            self.queries.append(FieldError(field, place))

    def action(self, field: str, pattern: str) -> None:
        """Note a pattern of actions that fits none, with the nearest that is known."""
        if not _ACTION.match(pattern):
            self.invalid.append(
                FieldError(
                    field,
                    "must be an action such as pod.exec_started, or a prefix such as pod.*, or *",
                )
            )
        elif not actions_of(pattern):
            near = get_close_matches(pattern, ACTIONS, 1)
            hint = f"; the nearest known one is {near[0]}" if near else ""
            self.actions.append(FieldError(field, f"fits no known action{hint}"))

    def refuse(self, field: str, message: str) -> None:
        """Note any other mistake."""
        self.invalid.append(FieldError(field, message))

    def bounds(self, field: str, value: int | None, lowest: int, highest: int) -> None:
        """Note a number outside its bounds; None has none."""
        if value is not None and not lowest <= value <= highest:
            self.refuse(field, f"must be {lowest} to {highest}")


def actions_of(pattern: str) -> frozenset[str]:
    """Return the actions that a name, a prefix such as `pod.*`, or `*` stands for."""
    if pattern == "*":
        return frozenset(ACTIONS)
    if pattern.endswith("*"):
        return expand_action(Value(pattern[:-1], prefix=True))
    return frozenset({pattern}) & frozenset(ACTIONS)


def mistakes_in(
    document: OwnerDocument, *, is_hub: bool, knows_zone: Callable[[str], bool]
) -> Mistakes:
    """Return all that is wrong with a document; `is_hub`: of an AuditHub, not an AuditPolicy."""
    found = Mistakes()
    if not 0 < len(document.uid) <= _MAX_HASH_CHARS or not _PRINTABLE.match(document.uid):
        found.refuse("uid", f"must be 1 to {_MAX_HASH_CHARS} printable characters")
    if not 0 < len(document.spec_hash) <= _MAX_HASH_CHARS or not _PRINTABLE.match(
        document.spec_hash
    ):
        found.refuse("spec_hash", f"must be 1 to {_MAX_HASH_CHARS} printable characters")
    found.bounds("generation", document.generation, 0, 2**53)
    _time(found, "created_at", document.created_at)
    if document.take_over_from is not None and document.scope != "organization":
        found.refuse("take_over_from", "needs the scope organization")
    if document.capture is not None and not is_hub:
        found.refuse("capture", "stands in the document of an AuditHub only")
    if document.capture is not None:
        for field in ("include_namespaces", "exclude_namespaces"):
            _names(found, f"capture.{field}", getattr(document.capture, field), MAX_NAMES)
    if document.retention is not None:
        check_retention(found, document.retention, document.scope)
    if document.notifications is not None:
        _notifications(found, document.notifications, knows_zone)
    return found


def check_retention(found: Mistakes, asked: RetentionSettings, scope: str) -> None:
    """Note what is wrong with a retention."""
    at = "retention"
    found.bounds(f"{at}.max_age_hours", asked.max_age_hours, MIN_AGE_HOURS, MAX_AGE_HOURS)
    found.bounds(f"{at}.shrink_delay_hours", asked.shrink_delay_hours, 0, MAX_SHRINK_DELAY_HOURS)
    if asked.cluster_overrides is not None and scope != "organization":
        found.refuse(f"{at}.cluster_overrides", "needs the scope organization")
    for place, override in _named(found, f"{at}.overrides", asked.overrides, MAX_OVERRIDES):
        found.bounds(f"{place}.max_age_hours", override.max_age_hours, MIN_AGE_HOURS, MAX_AGE_HOURS)
        if not 1 <= len(override.actions) <= 16:
            found.refuse(f"{place}.actions", "must be 1 to 16 actions")
        for pattern in override.actions[:16]:
            found.action(f"{place}.actions", pattern)
    for place, hold in _named(found, f"{at}.holds", asked.holds, MAX_HOLDS):
        if not 1 <= len(hold.reason) <= MAX_REASON_CHARS or not _PRINTABLE.match(hold.reason):
            found.refuse(f"{place}.reason", f"must be 1 to {MAX_REASON_CHARS} printable characters")
        room = "" if scope == "organization" else _CLUSTER_TERM
        found.query(f"{place}.query", hold.query, room)
        if hold.until is not None:
            _time(found, f"{place}.until", hold.until)


def _notifications(
    found: Mistakes, asked: NotificationSettings, knows_zone: Callable[[str], bool]
) -> None:
    at = "notifications"
    targets = set()
    for place, target in _named(found, f"{at}.destinations", asked.destinations, MAX_DESTINATIONS):
        targets.add(target.name)
        _destination(found, place, target)
    for place, rule in _named(found, f"{at}.rules", asked.rules, MAX_RULES):
        _rule(found, place, rule, targets, knows_zone)
    if asked.only_namespace is not None and not _NAME.match(asked.only_namespace):
        found.refuse(f"{at}.only_namespace", "must be the name of a namespace")


def _destination(found: Mistakes, at: str, target: Destination) -> None:
    kinds = [kind for kind in ("slack", "webhook", "email") if getattr(target, kind) is not None]
    if len(kinds) != 1:
        found.refuse(at, "must have exactly one of slack, webhook and email")
    if target.slack is not None and target.slack.url is not None:
        _url(found, f"{at}.slack.url", target.slack.url)
    if target.webhook is not None:
        _url(found, f"{at}.webhook.url", target.webhook.url)
        for name in ("signing_secret", "previous_signing_secret"):
            secret = getattr(target.webhook, name)
            if secret is not None and not 1 <= len(secret) <= _MAX_SECRET_CHARS:
                found.refuse(f"{at}.webhook.{name}", f"must be 1 to {_MAX_SECRET_CHARS} characters")
    if target.email is not None:
        if not 1 <= len(target.email.to) <= MAX_ADDRESSES:
            found.refuse(f"{at}.email.to", f"must be 1 to {MAX_ADDRESSES} addresses")
        if any(not _EMAIL.match(address) for address in target.email.to):
            found.refuse(f"{at}.email.to", "must be addresses such as ops@acme.com")


def _rule(
    found: Mistakes,
    at: str,
    rule: AlertRule,
    targets: Collection[str],
    knows_zone: Callable[[str], bool],
) -> None:
    if not rule.actions and rule.query is None:
        found.refuse(at, "needs actions, query or both")
    if len(rule.actions) > 16:
        found.refuse(f"{at}.actions", "must be at most 16 actions")
    for pattern in rule.actions[:16]:
        found.action(f"{at}.actions", pattern)
    found.query(f"{at}.query", rule.query)
    if not 1 <= len(rule.destinations) <= 8:
        found.refuse(f"{at}.destinations", "must be 1 to 8 names")
    if not set(rule.destinations) <= set(targets):
        found.refuse(f"{at}.destinations", "must be names of notifications.destinations")
    if rule.throttle is not None and rule.digest_seconds is not None:
        found.refuse(at, "digest_seconds and throttle exclude each other")
    if rule.throttle is not None:
        found.bounds(f"{at}.throttle.max", rule.throttle.max, 1, 1000)
        found.bounds(f"{at}.throttle.per_seconds", rule.throttle.per_seconds, 60, 999 * 3600)
    found.bounds(f"{at}.digest_seconds", rule.digest_seconds, 60, 7 * 86_400)
    quiet = rule.quiet_hours
    if quiet is not None:
        if not (_CLOCK.match(quiet.from_time) and _CLOCK.match(quiet.to_time)):
            found.refuse(f"{at}.quiet_hours", "must be times such as 22:00")
        if quiet.from_time == quiet.to_time:
            found.refuse(f"{at}.quiet_hours", "from_time and to_time must differ")
        if not knows_zone(quiet.time_zone):
            found.refuse(f"{at}.quiet_hours.time_zone", "must be a zone such as Europe/Berlin")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def _named(found: Mistakes, at: str, items: Sequence[N], limit: int) -> Iterator[tuple[str, N]]:
    """Yield the items of a list with their places, at most as many as it may have."""
    if len(items) > limit:
        found.refuse(at, f"must be at most {limit}")
    seen: set[str] = set()
    for index, item in enumerate(items[:limit]):
        place = f"{at}[{index}]"
        if not _NAME.match(item.name):
            found.refuse(f"{place}.name", "must be 1 to 63 lower-case letters, digits or hyphens")
        elif item.name in seen:
            found.refuse(f"{place}.name", "must be unique in its list")
        seen.add(item.name)
        yield place, item


def _names(found: Mistakes, at: str, names: Sequence[str], limit: int) -> None:
    if len(names) > limit:
        found.refuse(at, f"must be at most {limit}")
    if not all(_NAME.match(name) for name in names[:limit]):
        found.refuse(at, "must be names of namespaces")


def _time(found: Mistakes, at: str, text: str) -> None:
    try:
        parse_ms(text)
    except TimeError as error:
        found.refuse(at, str(error))


def _url(found: Mistakes, at: str, url: str) -> None:
    if len(url) > _MAX_URL_CHARS or not _URL.match(url):
        found.refuse(
            at, f"must be an https URL without credentials, at most {_MAX_URL_CHARS} characters"
        )
