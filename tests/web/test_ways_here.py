"""Whatever a message or a notice leads to is a page of the hub."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from radar_audit_hub.notices import words
from radar_audit_hub.notify import composing
from radar_audit_hub.notify.channels import email
from radar_audit_hub.notify.channels.request import Told
from radar_audit_hub.notify.finding import Seen
from radar_audit_hub.web.handlers import routes

from tests.support.log_rows import make_event
from tests.support.notify_world import content

ORG = "org_x"
EVENT = Seen(event=make_event(1), seq=1, recorded_at_ms=0)
TOLD = Told(
    message_id="msg_1",
    destination_id="nd_1",
    created_at_ms=0,
    now_ms=0,
    public_url="https://audit.acme.com",
)
_MAIL = email.render(content(), TOLD, ["ops@acme.com"]).headers["List-Unsubscribe"]
PATHS = {
    "one event": composing.path(ORG, [EVENT]),
    "several events": composing.path(ORG, [EVENT, EVENT]),
    "settings in a mail": _MAIL.strip("<>").removeprefix(TOLD.public_url),
    "a destination that was disabled": words.disabled(
        ORG, "nd_1", name="ops", reason="it is gone", at_ms=0
    ).path,
    "a member who joined": words.joined(
        ORG, "user_1", email="ann@acme.com", role="viewer", how="asked", now_ms=0
    ).path,
    "a limit": words.cap_hit(ORG, limit=3, by_email="ann@acme.com", now_ms=0).path,
}


@pytest.mark.parametrize("what", PATHS)
async def test_what_a_message_leads_to_is_a_page(what: str) -> None:
    app = web.Application()
    app.add_routes(routes())
    app.freeze()
    found = await app.router.resolve(make_mocked_request("GET", PATHS[what]))
    assert found.http_exception is None, PATHS[what]
