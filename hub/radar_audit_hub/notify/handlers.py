"""The route by which an owner of an org tries alert rules on the days that were.

Owns the edge; what is found is `previewing.py`'s. Listed by `app.py`. Never stores a rule and
never sends anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_wire import (
    AlertRule,
    Destination,
    EmailTarget,
    NotificationSettings,
    OwnerDocument,
)

from radar_audit_hub.audit.access_log import note_read
from radar_audit_hub.audit.page_turns import page_turn
from radar_audit_hub.auth.access import require
from radar_audit_hub.auth.principal import OWNER, READ_SCOPE, Principal
from radar_audit_hub.bodies import decode_body, read_body
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import DocumentQueryError, InvalidBodyError, UnknownActionError
from radar_audit_hub.json_edge import json_document, no_parameters
from radar_audit_hub.policy.documents import mistakes_in
from radar_audit_hub.policy.storing import knows_zone
from radar_audit_hub.retention.in_force import read
from radar_audit_hub.retention.policy import floors
from radar_audit_hub.store.notify_following import get_followed_org

from .previewing import MAX_DAYS, Preview, preview
from .rules import Place

MAX_BODY_BYTES = 128 * 1024
_ANY = "any"
_AT = "notifications."


class PreviewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST alerts/preview`: rules as in a document, their destinations not looked at."""

    rules: list[AlertRule]
    days: int = 7
    only_namespace: str | None = None


_order = msgspec.json.Decoder(PreviewOrder)


def routes() -> list[web.RouteDef]:
    """Return the feature's routes."""
    return [
        declare(
            web.post("/api/orgs/{org_id}/audit/policy/alerts/preview", show),
            events=None,
            reason="it reads the log and changes nothing",
        ),
    ]


async def show(request: web.Request) -> web.Response:
    """Answer with what each rule would have told over the last days."""
    # A token needs the right to read: the answer shows events.
    caller = await require(request, OWNER, scope=READ_SCOPE)
    no_parameters(request)
    raw = await read_body(
        request,
        limit_bytes=MAX_BODY_BYTES,
        timeout_seconds=request.app[HUB].settings.body_timeout_seconds,
    )
    order = decode_body(raw, _order, PreviewOrder.__struct_fields__)
    return json_document({"days": order.days, "rules": await tried(request, caller, order)})


async def tried(request: web.Request, caller: Principal, order: PreviewOrder) -> list[Preview]:
    """Return what each rule would have told over the last days; it counts as a read of the log.

    Raises InvalidBodyError, DocumentQueryError, UnknownActionError.
    """
    hub = request.app[HUB]
    refuse_mistakes(order.rules, order.only_namespace, order.days)
    now_ms = hub.now_ms()
    async with hub.db.read() as conn:
        org = await get_followed_org(conn, caller.org_id)
    async with page_turn(hub, caller):  # it holds as many events as some pages
        found = await preview(
            hub.db,
            caller.org_id,
            order.rules,
            place=Place(owner_id="org", cluster_id=None, only_namespace=order.only_namespace),
            floors=floors(org.plan, now_ms, read(org.retention)),
            days=order.days,
            now_ms=now_ms,
        )
    await note_read(hub, caller)
    return found


def refuse_mistakes(rules: Sequence[AlertRule], only_namespace: str | None, days: int) -> None:
    """Raise InvalidBodyError, DocumentQueryError or UnknownActionError for what is wrong."""
    if not 1 <= days <= MAX_DAYS:
        raise InvalidBodyError([FieldError("days", f"must be 1 to {MAX_DAYS}")])
    asked = NotificationSettings(
        destinations=[Destination(name=_ANY, email=EmailTarget(to=["any@example.com"]))],
        rules=[msgspec.structs.replace(rule, destinations=[_ANY]) for rule in rules],
        only_namespace=only_namespace,
    )
    document = OwnerDocument(
        uid="preview",
        generation=1,
        spec_hash="preview",
        created_at="1970-01-01T00:00:00Z",
        scope="organization",
        notifications=asked,
    )
    found = mistakes_in(document, is_hub=False, knows_zone=knows_zone)
    for errors, kind in (
        (found.invalid, InvalidBodyError),
        (found.queries, DocumentQueryError),
        (found.actions, UnknownActionError),
    ):
        if errors:
            raise kind([FieldError(e.field.removeprefix(_AT), e.message) for e in errors])
