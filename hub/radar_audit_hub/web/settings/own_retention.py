"""What the pages of the organization's own retention share: who holds it, storing, and mistakes.

Owns these three. Called by the handlers of the retention and of its exceptions. What may be stored
is decided by `policy/`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from radar_audit_events.errors import FieldError
from radar_audit_events.policy_answers import Holder
from radar_audit_events.policy_wire import RetentionSettings

from radar_audit_hub.policy import people as policy
from radar_audit_hub.policy.claims import ORG_KEY
from radar_audit_hub.policy.own import OwnPolicy
from radar_audit_hub.web.forms import Form
from radar_audit_hub.web.visits import OrgVisit

PAGE = "/orgs/{org_id}/retention"
_FIELDS = {"max_age_hours": "age", "shrink_delay_hours": "delay"}
_LISTS = {"holds": "the holds", "overrides": "the exceptions"}


def address_of(visit: OrgVisit) -> str:
    """Return the address of the retention's page."""
    return PAGE.format(org_id=visit.caller.org_id)


def key_holder(found: dict[str, Any]) -> Holder | None:
    """Return who holds the organization's key, None where its own people set the retention.

    `found` is what `policy.load` returned. The own document never holds the key.
    """
    return next((one.holder for one in found["keys"] if one.key == ORG_KEY), None)


async def store(
    request: web.Request, visit: OrgVisit, form: Form, own: OwnPolicy, retention: RetentionSettings
) -> None:
    """Store another retention in the organization's own document, if nobody did since the form.

    Raises InvalidBodyError, ConflictError.
    """
    asked = msgspec.structs.replace(own, retention=retention)
    await policy.save(request, visit.caller, asked, revision=form.text("revision"))


def on_page(mistake: FieldError) -> FieldError:
    """Return a mistake as of the page's field; what is of no field has none that is linked to."""
    inside = mistake.field.removeprefix("retention.")
    if inside in _LISTS:
        return FieldError(_LISTS[inside], mistake.message)
    last = inside.rpartition(".")[2]
    return FieldError(_FIELDS.get(last, last), mistake.message)
