"""What surrounds every handler: request id, errors into answers, headers, access log.

Owns the one middleware of the hub and the `Answered` signal. `app.py` puts both
into the application. The access log has the route's template, never the path, the
query string or a header: those may hold what a person typed by mistake.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from aiohttp import web
from aiohttp.typedefs import Handler

from .context import HUB
from .errors import HubError
from .http_errors import Problem, problem
from .store.faults import cause_of
from .streaming import SlowClientError, abort, is_gone

REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID = web.RequestKey("request_id", str)
STARTED = web.RequestKey("started", bool)  # the headers of an answer are on their way
ErrorPage = Callable[[web.Request, Exception, Problem], Awaitable[web.StreamResponse]]
# Shows an error to a person with a browser; without it all errors are problem documents.
ERROR_PAGE: web.AppKey[ErrorPage] = web.AppKey("error page")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_GIVEN_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}\Z")
_UNMATCHED = "unmatched"
_access = logging.getLogger("radar_audit_hub.access")
_logger = logging.getLogger(__name__)


def request_id_of(given: str | None, random: bytes) -> str:
    """Return the caller's id if it is 8-64 plain characters, else a new one of `random`."""
    if given is not None and _GIVEN_ID.match(given):
        return given
    return "req_" + random.hex()


def route_of(request: web.Request) -> str:
    """Return the route's template such as /api/orgs/{org_id}/audit: a closed set of words."""
    resource = request.match_info.route.resource
    return _UNMATCHED if resource is None else resource.canonical


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run a handler; whatever it raises becomes an answer, and every answer is counted."""
    hub = request.app[HUB]
    started = time.perf_counter()
    request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER), hub.random_bytes(8))
    request[REQUEST_ID] = request_id
    try:
        response = await handler(request)
    except Exception as error:
        response = await _answer(request, error, request_id)
    route = route_of(request)
    method = request.method if request.method in _METHODS else "other"
    hub.metrics.requests.labels(method, route, str(response.status)).inc()
    if _access.isEnabledFor(logging.INFO):
        facts = {
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": response.status,
            "duration_ms": round((time.perf_counter() - started) * 1000, 3),
            "remote": request.remote,
        }
        _access.info("request", extra=facts)
    return response


def is_for_people(request: web.Request) -> bool:
    """Tell whether a browser shows the answer: a page, or a sign-in on its way to one."""
    if request.path.startswith("/api/") and not request.path.startswith("/api/auth/"):
        return False
    return "text/html" in request.headers.get("Accept", "")


async def _answer(request: web.Request, error: Exception, request_id: str) -> web.StreamResponse:
    if request.get(STARTED) or is_gone(request):
        _cut(request, error, request_id)
    answer = problem(error)
    if answer.status >= 500:
        _logger.error(
            "request failed",
            exc_info=error if answer.status == 500 else None,
            extra={
                "request_id": request_id,
                "error": type(error).__name__,
                "cause": cause_of(error),
            },
        )
    show = request.app.get(ERROR_PAGE)
    if show is not None and is_for_people(request):
        return await show(request, error, answer)
    return answer.response(request_id)


def _cut(request: web.Request, error: Exception, request_id: str) -> NoReturn:
    """End a connection in the middle of an answer: only that can still say "incomplete"."""
    by_client = isinstance(error, SlowClientError | HubError) or is_gone(request)
    level = logging.INFO if by_client else logging.ERROR
    _logger.log(
        level,
        "answer cut short",
        exc_info=None if by_client else error,
        extra={"request_id": request_id, "route": route_of(request), "error": type(error).__name__},
    )
    abort(request)
    raise ConnectionResetError("the answer was cut short") from None


async def mark(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer carries; runs just before the headers are sent."""
    request[STARTED] = True
    headers = response.headers
    headers[REQUEST_ID_HEADER] = request.get(REQUEST_ID, "")
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Server"] = "radar-audit"
