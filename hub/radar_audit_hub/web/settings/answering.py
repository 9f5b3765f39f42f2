"""What the settings' pages share: a form that was refused, and a way off to another site.

Owns the status and the sentences of a refused form, and the page that leads to a service's own
pages. Called by the handlers of this folder. Never decides what is refused.
"""

from __future__ import annotations

from aiohttp import web

from radar_audit_hub.errors import (
    ConflictError,
    HubError,
    InvalidBodyError,
    InvalidParametersError,
    NotFoundError,
    PlanLimitError,
    UnavailableError,
)
from radar_audit_hub.http_errors import problem
from radar_audit_hub.web.forms import NO_MISTAKES, Mistakes, mistakes_of
from radar_audit_hub.web.rendering import page

# What a form's own page tells; any other error has a page of its own.
REFUSED = (
    InvalidBodyError,
    InvalidParametersError,
    ConflictError,
    NotFoundError,
    PlanLimitError,
    UnavailableError,
)


def refusal(error: HubError | None) -> tuple[int, Mistakes]:
    """Return the status of a page whose form was refused, and what it shows; None: all is well."""
    return (200, NO_MISTAKES) if error is None else (problem(error).status, mistakes_of(error))


def onward(request: web.Request, address: str, title: str, text: str, back: str) -> web.Response:
    """Answer with a page that leads to another site.

    Not a redirect: the policy for forms would hold for the other site's pages, too.
    """
    return page(
        request, "settings/onward.html", address=address, heading=title, text=text, back=back
    )
