"""A page that lists things, has a form that makes another, and shows its secret once.

Owns how such a form ends: on the same page, with what was made or with why it was refused. Called
by the pages of people and of tokens. Never decides what is refused, and keeps nothing of a secret:
it is in the answer to the form alone, never in an address or a cookie.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from radar_audit_hub.errors import HubError
from radar_audit_hub.web.forms import Form
from radar_audit_hub.web.rendering import see_other
from radar_audit_hub.web.visits import OrgVisit

from .answering import REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a form of the page went: refused (`form` is what was typed), or something was made."""

    error: HubError | None = None
    form: Form | None = None
    made: Mapping[str, Any] | None = None

    def typed(self, name: str, default: str) -> str:
        """Return what a field of the form is to hold when the page is shown again."""
        return default if self.form is None else self.form.text(name)


NOTHING_SENT = Outcome()
Show = Callable[[web.Request, OrgVisit, Outcome], Awaitable[web.Response]]


async def made_here(
    request: web.Request,
    visit: OrgVisit,
    show: Show,
    making: Awaitable[Mapping[str, Any]],
    form: Form | None = None,
) -> web.Response:
    """Answer with the page and what was made, or with the refusal and what was typed."""
    try:
        outcome = Outcome(made=await making)
    except REFUSED as error:
        outcome = Outcome(error=error, form=form)
    return await show(request, visit, outcome)


async def done_here(
    request: web.Request,
    visit: OrgVisit,
    show: Show,
    doing: Awaitable[object],
    *,
    address: str,
    said: str,
) -> web.Response:
    """Send the browser on to `address`, which says `said` (see `flash.py`), or show the refusal."""
    try:
        await doing
    except REFUSED as error:
        return await show(request, visit, Outcome(error=error))
    return see_other(request, address, said)
