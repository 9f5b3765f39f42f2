"""Errors as people with a browser see them: what is wrong, and what to do now.

Owns the answer to an error on a page's address or during a sign-in; `app.py` hands it to the
middleware. Which status an error has is decided in `http_errors.py` alone. Never shows a cause
that a problem document would hide, and never fails itself: then the problem document is the answer.
"""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from aiohttp import web

from radar_audit_hub.errors import ForbiddenError, HubError, InvalidCursorError, UnauthorizedError
from radar_audit_hub.http_errors import Problem
from radar_audit_hub.middleware import REQUEST_ID
from radar_audit_hub.signin.return_path import own_path

from .rendering import HEADERS, page
from .visits import VISIT, maybe_visit

SIGN_IN = "/signin"
_BROKEN_LINK = "the link to it is damaged, or was made for another filter; begin at the first page"
_logger = logging.getLogger(__name__)


async def show(request: web.Request, error: Exception, problem: Problem) -> web.StreamResponse:
    """Answer with the page of an error, or send whoever has no session to sign in."""
    try:
        if isinstance(error, UnauthorizedError) and not request.path.startswith("/api/"):
            return _to_sign_in(request)
        if VISIT not in request and not request.path.startswith("/api/"):
            await _know_visitor(request)
        return _page(request, error, problem)
    except Exception:  # the error itself is answered in any case
        _logger.exception("the page of an error could not be made")
        return problem.response(request[REQUEST_ID])


async def _know_visitor(request: web.Request) -> None:
    """Find out who it is, for the menus; a form's visitor was asked before or is nobody."""
    try:
        if request.method == "GET":
            await maybe_visit(request)
    except HubError:
        return


def _to_sign_in(request: web.Request) -> web.Response:
    address = SIGN_IN
    if request.method == "GET":
        try:
            address += "?" + urlencode({"return_to": own_path(request.raw_path)})
        except ValueError:  # too long, or with characters that need care: they begin at home
            address = SIGN_IN
    return web.Response(status=303, headers={**HEADERS, "Location": address})


def _page(request: web.Request, error: Exception, problem: Problem) -> web.StreamResponse:
    detail, errors, first_page = problem.detail, problem.extra.get("errors", []), None
    if isinstance(error, InvalidCursorError):  # nobody typed it: a link was cut, or is of old
        detail, errors = _BROKEN_LINK, []
        first_page = str(request.rel_url.without_query_params("cursor"))
    response = page(
        request,
        "error.html",
        status=problem.status,
        problem=problem,
        title="There is no such page of the list" if first_page else problem.title,
        first_page=first_page,
        sentence=detail[:1].upper() + detail[1:] + ("" if detail.endswith(".") else "."),
        roles=error.required_roles if isinstance(error, ForbiddenError) else (),
        signing_in=request.path.startswith("/api/auth/"),
        request_id=request[REQUEST_ID],
        errors=errors,
    )
    for name, value in problem.headers.items():
        if name != "WWW-Authenticate":
            response.headers[name] = value
    return response
