"""What is wrong with a rule, in the words of its form: pure.

Owns what the page calls each part of a rule, and the translation of the API's sentences, which
name the API's fields and count in seconds. Called by `rules.py`. Never decides what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from radar_audit_events.errors import FieldError

from radar_audit_hub.errors import HubError
from radar_audit_hub.web.forms import Mistakes

from .entries import minutes_text
from .mending import refused

# What each field is called above the form, where it stands alone.
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "name": "Name",
        "actions": "Actions",
        "query": "Query",
        "kinds": "Radar's own notices",
        "severity": "Severity",
        "destinations": "Destinations",
        "threshold_count": "Threshold, events",
        "threshold_minutes": "Threshold, minutes",
        "threshold_by": "Threshold, counted apart by",
        "throttle_max": "Throttle, messages",
        "throttle_minutes": "Throttle, minutes",
        "grouping_seconds": "Grouping, seconds",
        "grouping_by": "Grouping, by",
        "digest_minutes": "Digest, minutes",
        "quiet_from": "Quiet from",
        "quiet_to": "Quiet to",
        "quiet_zone": "Zone of the quiet hours",
        "muted_until": "Muted until",
        "days": "Days to try it on",
    }
)
_FIELDS = {
    "throttle": "throttle_max",
    "throttle.max": "throttle_max",
    "throttle.per_seconds": "throttle_minutes",
    "threshold": "threshold_count",
    "threshold.count": "threshold_count",
    "threshold.within_seconds": "threshold_minutes",
    "threshold.by": "threshold_by",
    "grouping": "grouping_seconds",
    "grouping.wait_seconds": "grouping_seconds",
    "grouping.by": "grouping_by",
    "digest_seconds": "digest_minutes",
    "quiet_hours": "quiet_from",
    "quiet_hours.from_time": "quiet_from",
    "quiet_hours.to_time": "quiet_to",
    "quiet_hours.time_zone": "quiet_zone",
}
# Sentences that name fields of the API: of which field of the page, and in whose words. No field:
# of the form as a whole.
_WORDS = {
    "needs actions, a query, kinds, or several of them": (
        "",
        "a rule needs actions, a query or Radar's own notices, or several of them",
    ),
    "digest_seconds and throttle exclude each other": (
        "",
        "a digest and a throttle exclude each other: empty one of them",
    ),
    "digest_seconds and grouping exclude each other": (
        "",
        "a digest and a grouping exclude each other: empty one of them",
    ),
    "from_time and to_time must differ": ("quiet_to", "must be another time than the beginning"),
    "must be times such as 22:00": ("quiet_from", "and its end must be times such as 22:00"),
    "must be names of notifications.destinations": (
        "destinations",
        "must be some that there still are; choose again",
    ),
    "must be 1 to 8 names": ("destinations", "must be 1 to 8 of those that there are"),
}
_PLACE = re.compile(r"^(?:notifications\.)?rules\[(\d+)\]\.?")
_BOUNDS = re.compile(r"^must be (\d+) to (\d+)\Z")


def rule_mistakes(
    error: HubError, names: Sequence[str], own: str, *, is_new: bool
) -> tuple[int, Mistakes]:
    """Return the status of a refused form's page and what it shows.

    `names` are the rules' of the document that was refused, in its order; `own` is this rule's.
    """
    labels = LABELS if is_new else {key: LABELS[key] for key in LABELS if key != "name"}

    def on_page(mistake: FieldError) -> FieldError:
        place = _PLACE.match(mistake.field)
        index = int(place[1]) if place else -1
        if 0 <= index < len(names) and names[index] != own:
            inside = mistake.field[place.end() if place else 0 :]
            return FieldError(f"the rule {names[index]}:", f"{inside} {mistake.message}".strip())
        return _worded(mistake.field[place.end() if place else 0 :], mistake.message)

    return refused(error, labels, on_page)


def _worded(field: str, message: str) -> FieldError:
    """Return a mistake of this rule's as the page says it."""
    if message in _WORDS:
        return FieldError(*_WORDS[message])
    if field == "notifications.rules":
        return FieldError("", f"the rules of an organization {message}; delete one first")
    inside = field.partition("[")[0]
    name = _FIELDS.get(inside, inside)
    bounds = _BOUNDS.match(message)
    if bounds and name.endswith("_minutes"):
        least, most = (minutes_text(int(seconds)) for seconds in bounds.groups())
        message = f"must be {least} to {most}"
    return FieldError(name, message)
