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
    SlackTarget,
    WebhookTarget,
)


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The secret of one destination: Slack's URL, or what requests are signed with."""

    url: str | None = None
    signing_secret: str | None = None
    previous_signing_secret: str | None = None

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
    if target.webhook is not None:
        hook = target.webhook
        kept = before.previous_signing_secret if hook.signing_secret is None else None
        secret = Secret(
            signing_secret=hook.signing_secret or before.signing_secret,
            previous_signing_secret=hook.previous_signing_secret or kept,
        )
        return msgspec.structs.replace(target, webhook=WebhookTarget(url=hook.url)), secret
    return target, _NONE
