"""Which parts of an owner's document are secret, and what becomes of those that are not sent: pure.

Owns the separation: what is stored in the clear, shown and compared is one thing, the secrets are
another. Called by the routes before a document is stored. Never encrypts; a secret is in no repr.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from radar_audit_events.policy_wire import (
    Destination,
    OwnerDocument,
    PagerDutyTarget,
    SlackTarget,
    TeamsTarget,
    WebhookTarget,
)


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The secret of one destination: its URL or key, or what requests are signed with."""

    url: str | None = None
    routing_key: str | None = None
    signing_secret: str | None = None
    previous_signing_secret: str | None = None
    signing_key: str | None = None
    previous_signing_key: str | None = None

    def __repr__(self) -> str:
        """Show nothing."""
        return "Secret(<not shown>)"


Secrets = Mapping[str, Secret]
_NONE = Secret()


def without_secrets(document: OwnerDocument, kept: Secrets) -> tuple[OwnerDocument, Secrets]:
    """Return the document as it may be stored and shown, and its secrets by destination.

    A secret that is not sent stays as it was in `kept`; that of a destination which is gone, or
    became another kind, is gone.
    """
    asked = document.notifications
    if asked is None:
        return document, {}
    parts = [
        (target.name, *_split(target, kept.get(target.name, _NONE)))
        for target in asked.destinations
    ]
    plain = msgspec.structs.replace(asked, destinations=[target for _, target, _ in parts])
    secrets = {name: secret for name, _, secret in parts if secret != _NONE}
    return msgspec.structs.replace(document, notifications=plain), secrets


def _split(target: Destination, before: Secret) -> tuple[Destination, Secret]:
    if target.slack is not None:
        plain = msgspec.structs.replace(target, slack=SlackTarget())
        return plain, Secret(url=target.slack.url or before.url)
    if target.teams is not None:
        plain = msgspec.structs.replace(target, teams=TeamsTarget())
        return plain, Secret(url=target.teams.url or before.url)
    if target.pagerduty is not None:
        plain = msgspec.structs.replace(target, pagerduty=PagerDutyTarget())
        return plain, Secret(routing_key=target.pagerduty.routing_key or before.routing_key)
    if target.webhook is not None:
        return _split_webhook(target, target.webhook, before)
    return target, _NONE


def _split_webhook(
    target: Destination, hook: WebhookTarget, before: Secret
) -> tuple[Destination, Secret]:
    is_sent = hook.signing_secret is not None or hook.signing_key is not None
    if is_sent:  # what is sent replaces all four: a secret that is left out is given up
        secret = Secret(
            signing_secret=hook.signing_secret,
            previous_signing_secret=hook.previous_signing_secret,
            signing_key=hook.signing_key,
            previous_signing_key=hook.previous_signing_key,
        )
    else:
        secret = Secret(
            signing_secret=before.signing_secret,
            previous_signing_secret=hook.previous_signing_secret or before.previous_signing_secret,
            signing_key=before.signing_key,
            previous_signing_key=hook.previous_signing_key or before.previous_signing_key,
        )
    plain = WebhookTarget(url=hook.url, envelope=hook.envelope)
    return msgspec.structs.replace(target, webhook=plain), secret
