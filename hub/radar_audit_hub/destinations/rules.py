"""How one destination of the org's own document is added, changed and taken out: pure.

Owns the steps from a document's alerts to its alerts afterwards. Called by `handlers.py` with what
is stored. Never stores anything; a message never repeats a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import (
    MAX_DESTINATIONS,
    Destination,
    EmailTarget,
    NotificationSettings,
    PagerDutyTarget,
    Severity,
    SlackTarget,
    TeamsTarget,
    WebhookTarget,
)

from radar_audit_hub.errors import ConflictError, InvalidBodyError, NotFoundError
from radar_audit_hub.policy.alerts import CHANNELS, check_alerts
from radar_audit_hub.policy.mistakes import Mistakes
from radar_audit_hub.policy.secret_parts import Secret

from .rotation import with_kept_keys

_ALONE = "notifications.destinations[0]"


class DestinationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH`: what is left out stays; a channel that is given replaces the one there was.

    A channel's secret that is null stays, too (of a webhook's keys: each for itself, see
    `rotation.py`). `muted_until` null ends a mute.
    """

    slack: SlackTarget | msgspec.UnsetType = msgspec.UNSET
    webhook: WebhookTarget | msgspec.UnsetType = msgspec.UNSET
    email: EmailTarget | msgspec.UnsetType = msgspec.UNSET
    teams: TeamsTarget | msgspec.UnsetType = msgspec.UNSET
    pagerduty: PagerDutyTarget | msgspec.UnsetType = msgspec.UNSET
    min_severity: Severity | msgspec.UnsetType = msgspec.UNSET
    muted_until: str | msgspec.UnsetType | None = msgspec.UNSET


def refuse_mistakes(target: Destination) -> None:
    """Raise InvalidBodyError for what is wrong with one destination, named from its own root."""
    found = Mistakes()
    check_alerts(found, NotificationSettings(destinations=[target]), "organization", lambda _: True)
    if found.invalid:
        raise InvalidBodyError([_own(error) for error in found.invalid])


def _own(error: FieldError) -> FieldError:
    return FieldError(error.field.removeprefix(_ALONE).removeprefix(".") or "body", error.message)


def with_new(alerts: NotificationSettings | None, target: Destination) -> NotificationSettings:
    """Return the alerts with one destination more. Raises ConflictError."""
    before = alerts or NotificationSettings()
    if any(one.name == target.name for one in before.destinations):
        raise ConflictError(f"there is a destination {target.name} already; change that one")
    if len(before.destinations) >= MAX_DESTINATIONS:
        raise ConflictError(
            f"the organization has {MAX_DESTINATIONS} destinations of its own, which is the most; "
            "delete one first"
        )
    return msgspec.structs.replace(before, destinations=[*before.destinations, target])


def with_changed(
    alerts: NotificationSettings | None, name: str, asked: DestinationChange, secret: Secret
) -> NotificationSettings:
    """Return the alerts with one destination changed, whose stored secret is `secret`.

    Raises NotFoundError, InvalidBodyError.
    """
    before = alerts or NotificationSettings()
    old = next((one for one in before.destinations if one.name == name), None)
    if old is None:
        raise NotFoundError("there is no such destination")
    new = msgspec.structs.replace(old, **_changes(asked))
    if asked.webhook is not msgspec.UNSET and new.webhook is not None:
        new = msgspec.structs.replace(new, webhook=with_kept_keys(new.webhook, secret))
    refuse_mistakes(new)
    kept = [new if one.name == name else one for one in before.destinations]
    return msgspec.structs.replace(before, destinations=kept)


def without(alerts: NotificationSettings | None, name: str) -> NotificationSettings:
    """Return the alerts without one destination. Raises ConflictError while rules send there."""
    before = alerts or NotificationSettings()
    using = [rule.name for rule in before.rules if name in rule.destinations]
    if using:
        raise ConflictError(
            f"these rules send to {name}: {', '.join(using)}; take it out of them first"
        )
    left = [one for one in before.destinations if one.name != name]
    return msgspec.structs.replace(before, destinations=left)


def _changes(asked: DestinationChange) -> Mapping[str, Any]:
    given = {
        field: value
        for field in DestinationChange.__struct_fields__
        if (value := getattr(asked, field)) is not msgspec.UNSET
    }
    if not given:
        raise InvalidBodyError([FieldError("body", "must change at least one field")])
    channels = [name for name in CHANNELS if name in given]
    if len(channels) > 1:
        raise InvalidBodyError([FieldError("body", f"must have one of {', '.join(CHANNELS)}")])
    if channels:
        given |= {name: None for name in CHANNELS if name not in channels}
    return given
