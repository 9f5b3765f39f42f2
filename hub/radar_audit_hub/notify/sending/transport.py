"""Sends one rendered message, by HTTP or by SMTP, and says how that went.

Owns the call and its bounds, and what of an answer goes into the delivery log. Called by
`attempting.py`, outside of any transaction. Never follows a redirect, and never lets a secret
into what it returns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address

from radar_audit_hub.context import Hub
from radar_audit_hub.mail.messages import Mail
from radar_audit_hub.mail.sending import mime, transmit
from radar_audit_hub.notify.channels.request import HttpRequest, MailRequest, Request, without
from radar_audit_hub.notify.mail_budget import MailBudget
from radar_audit_hub.outbound import OutboundError
from radar_audit_hub.outbox.delivery import DeliveryFailedError

from .receivers import Receiver
from .verdict import Verdict, verdict

_EXCERPT_BYTES = 2_000
_SHOWN_HEADERS = ("Content-Type", "Retry-After", "Location", "Server", "X-Request-Id")
_HEADER_CHARS = 200
_NO_SMTP = (
    "no mail server is set, so the hub cannot send mail; whoever runs it sets "
    "RADAR_AUDIT_HUB_SMTP_HOST"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How a request went; `response` is JSON for the delivery log."""

    verdict: Verdict
    status: int | None = None
    response: str | None = None


async def send(hub: Hub, receiver: Receiver, request: Request, wire_id: str) -> Sent:
    """Send once; whatever happens is in the answer."""
    if isinstance(request, MailRequest):
        return await _mail(hub, receiver, request, wire_id)
    return await _http(hub, receiver.row.kind, request)


async def _http(hub: Hub, kind: str, request: HttpRequest) -> Sent:
    try:
        answer = await hub.deliveries.post(request.url, headers=request.headers, body=request.body)
    except OutboundError as error:
        return Sent(verdict=Verdict(result="retry", error=without(str(error), request.secrets)))
    found = verdict(kind, answer.status, answer.headers, answer.body, hub.now_ms())
    headers = {
        name: _shown_header(answer.headers[name])
        for name in _SHOWN_HEADERS
        if name in answer.headers
    }
    told = {
        "status": answer.status,
        "headers": headers,
        "body": _excerpt(answer.body),
        "is_cut": answer.is_cut or len(answer.body) > _EXCERPT_BYTES,
    }
    response = without(json.dumps(told, ensure_ascii=False), request.secrets)
    return Sent(verdict=found, status=answer.status, response=response)


def _shown_header(value: str) -> str:
    """Return a header's beginning without the lone surrogates that stand for bytes of no UTF-8."""
    raw = value[:_HEADER_CHARS].encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _excerpt(body: bytes) -> str:
    """Return the beginning of an answer as text that any database takes."""
    return body[:_EXCERPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")


async def _mail(hub: Hub, receiver: Receiver, request: MailRequest, wire_id: str) -> Sent:
    settings = hub.settings.smtp
    if settings.host is None:  # the next attempt may be after it was set
        return Sent(verdict=Verdict(result="retry", error=_NO_SMTP))
    try:
        first = Mail(
            to=request.to[0], subject=request.subject, text=request.text, html=request.html
        )
        message = mime(first, settings, wire_id, hub.now_ms())
        del message["To"]
        message["To"] = [Address(addr_spec=text) for text in request.to]
        for name, value in request.headers.items():
            message[name] = value
    except (ValueError, HeaderParseError):
        wrong = "an address of the destination is none that mail can be sent to"
        return Sent(verdict=Verdict(result="failed", error=wrong))
    org_id, addresses, now_ms = receiver.row.org_id, len(request.to), hub.now_ms()
    paid: list[MailBudget] = []
    for budget, whose in _budgets(hub, receiver):
        wait_ms = budget.take(org_id, addresses, now_ms)
        if wait_ms is not None:
            _give_back(paid, org_id, addresses)
            spent = f"the alerts of {whose} have had their {budget.per_day} mails of today"
            return Sent(verdict=Verdict(result="retry", error=spent, retry_after_ms=wait_ms))
        paid.append(budget)
    try:
        refused = await transmit(message, settings)
    except DeliveryFailedError as error:
        if error.retry:  # else an hour without the server would cost the alerts of the day
            _give_back(paid, org_id, addresses)
        result = Verdict(result="retry" if error.retry else "failed", error=str(error))
        return Sent(verdict=result)
    told = {"accepted": len(request.to) - refused, "refused": refused}
    return Sent(verdict=Verdict(result="delivered"), status=250, response=json.dumps(told))


def _budgets(hub: Hub, receiver: Receiver) -> list[tuple[MailBudget, str]]:
    """Return which budgets a mail is paid of, with whose alerts they are for."""
    narrow = (hub.deliveries.narrow_mails, "the organization's clusters and namespaces")
    whole = (hub.deliveries.mails, "the organization")
    return [narrow, whole] if receiver.is_narrow else [whole]


def _give_back(paid: list[MailBudget], org_id: str, addresses: int) -> None:
    for budget in paid:
        budget.give_back(org_id, addresses)
