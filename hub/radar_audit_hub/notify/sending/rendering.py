"""Which channel renders a message for a receiver. Pure.

Owns the choice, and what it means that a destination lacks its secret. Called by `attempting.py`.
Never sends anything.
"""

from __future__ import annotations

from radar_audit_hub.notify.channels import email, pagerduty, slack, teams, webhook
from radar_audit_hub.notify.channels.request import Request, Told
from radar_audit_hub.notify.content import Content

from .receivers import Receiver


class CannotRenderError(Exception):
    """Nothing can be sent to this receiver as it is; the sentence holds no secret."""


def render(receiver: Receiver, content: Content, told: Told, pagerduty_url: str) -> Request:
    """Return the request of a message. Raises CannotRenderError, SigningKeyError."""
    target, secret = receiver.target, receiver.secret
    if target.email is not None:
        return email.render(content, told, target.email.to)
    if target.webhook is not None:
        hook = target.webhook
        return webhook.render(content, told, hook.url, secret, envelope=hook.envelope)
    if target.slack is not None and secret.url is not None:
        return slack.render(content, told, secret.url)
    if target.teams is not None and secret.url is not None:
        return teams.render(content, told, secret.url)
    if target.pagerduty is not None and secret.routing_key is not None:
        return pagerduty.render(content, told, secret.routing_key, pagerduty_url)
    raise CannotRenderError("its secret was never sent to the hub")
