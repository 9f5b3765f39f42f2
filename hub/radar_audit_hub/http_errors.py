"""Turns errors into answers: the only place that knows which status an error has.

Owns the table of error types and the RFC 9457 form. Called by the middleware for
whatever a handler raises and by `protocol.py` for what breaks before routing.
Never shows an internal error's text: a 500 hides its cause, the log has it under
the same request id.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from .errors import (
    BodyTooLargeError,
    ConflictError,
    DocumentQueryError,
    ForbiddenError,
    ForeignOwnerError,
    HubError,
    InvalidBodyError,
    InvalidCursorError,
    InvalidParametersError,
    InvalidQueryError,
    MalformedRequestError,
    NotFoundError,
    PlanLimitError,
    ScopeMissingError,
    StaleGenerationError,
    TooManyOwnersError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnknownActionError,
    UnsupportedMediaTypeError,
)
from .store.faults import is_unavailable

PROBLEM_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:radar-audit:problem:"
_AWAY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    code: str
    title: str


_TABLE: dict[type[BaseException], _Row] = {
    UnauthorizedError: _Row(401, "unauthorized", "A valid token is needed"),
    ForbiddenError: _Row(403, "forbidden", "Not allowed"),
    NotFoundError: _Row(404, "not_found", "Not found"),
    PlanLimitError: _Row(402, "plan_limit", "The plan does not allow it"),
    ConflictError: _Row(409, "conflict", "Not as things stand"),
    InvalidParametersError: _Row(400, "invalid_parameter", "A parameter is wrong"),
    InvalidCursorError: _Row(400, "invalid_cursor", "The cursor is wrong"),
    InvalidQueryError: _Row(400, "invalid_query", "The query is wrong"),
    InvalidBodyError: _Row(422, "invalid_body", "The body is wrong"),
    DocumentQueryError: _Row(422, "invalid_query", "The query is wrong"),
    UnknownActionError: _Row(422, "unknown_action", "An action is unknown"),
    StaleGenerationError: _Row(409, "stale_generation", "A later one is stored"),
    ForeignOwnerError: _Row(403, "foreign_owner", "The owner is another cluster's"),
    ScopeMissingError: _Row(403, "scope_missing", "The token lacks a scope"),
    TooManyOwnersError: _Row(409, "too_many_owners", "Too many owners"),
    BodyTooLargeError: _Row(413, "body_too_large", "The body is too large"),
    UnsupportedMediaTypeError: _Row(415, "unsupported_media_type", "The body's type is not taken"),
    MalformedRequestError: _Row(400, "invalid_request", "The request is malformed"),
    web.RequestPayloadError: _Row(400, "invalid_request", "The request is malformed"),
    TooManyRequestsError: _Row(429, "too_many_requests", "Too many requests"),
    UnavailableError: _Row(503, "unavailable", "Not available for now"),
}
_INTERNAL = _Row(500, "internal", "Internal error")
# What aiohttp's router and body reader raise, by status.
_FRAMEWORK = {
    404: _Row(404, "not_found", "Not found"),
    405: _Row(405, "method_not_allowed", "The method is not allowed here"),
    413: _TABLE[BodyTooLargeError],
    415: _TABLE[UnsupportedMediaTypeError],
    417: _Row(417, "invalid_request", "The request is malformed"),
}
_FRAMEWORK_TEXT = {
    404: "there is nothing at this path",
    413: "the body is larger than this route takes",
    417: "the only expectation that is met is 100-continue",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer before it is written: `extra` are members and `headers` beyond the usual."""

    status: int
    code: str
    title: str
    detail: str
    extra: dict[str, Any]
    headers: dict[str, str]

    def response(self, request_id: str) -> web.Response:
        """Write the problem document."""
        body = {
            "type": _TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.extra,
        }
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(body),
            content_type=PROBLEM_TYPE,
            headers=self.headers,
        )


def problem(error: BaseException) -> Problem:
    """Return the answer to `error`; whatever is not in the table is a 500 without details."""
    if isinstance(error, web.HTTPException):
        return _framework(error)
    row = next((_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE), None)
    if row is None:
        return _foreign(error)
    detail = str(error) if isinstance(error, HubError) else "the body cannot be read as HTTP"
    return Problem(row.status, row.code, row.title, detail, _extra(error), _headers(error))


def _foreign(error: BaseException) -> Problem:
    if is_unavailable(error):
        return problem(UnavailableError("the database is away; try again", _AWAY_SECONDS))
    detail = "the server failed; its log has the cause under this request id"
    return Problem(_INTERNAL.status, _INTERNAL.code, _INTERNAL.title, detail, {}, {})


def _framework(error: web.HTTPException) -> Problem:
    fallback = _Row(error.status, "invalid_request", HTTPStatus(error.status).phrase)
    row = _FRAMEWORK.get(error.status, _INTERNAL if error.status >= 500 else fallback)
    detail = _FRAMEWORK_TEXT.get(error.status, row.title)
    headers = {}
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail, headers = f"this path takes {allowed}", {"Allow": allowed}
    return Problem(row.status, row.code, row.title, detail, {}, headers)


def _extra(error: BaseException) -> dict[str, Any]:
    if isinstance(error, InvalidParametersError | InvalidBodyError):
        return {"errors": [{"field": e.field, "message": e.message} for e in error.errors]}
    if isinstance(error, InvalidCursorError):
        return {"errors": [{"field": "cursor", "message": str(error)}]}
    if isinstance(error, InvalidQueryError):
        item = {"field": "q", "message": f"expected {error.expected}", "position": error.position}
        return {"errors": [item], "position": error.position}
    if isinstance(error, ForbiddenError):
        named: dict[str, Any] = {}
        if error.required_roles:
            # One role as the contract's member; all of them for those who can use the list.
            named["required_role"] = error.required_roles[0]
            named["required_roles"] = list(error.required_roles)
        if error.required_scope:
            named["required_scope"] = error.required_scope
        return named
    if isinstance(error, PlanLimitError):
        return {"limit": error.limit}
    return {}


def _headers(error: BaseException) -> dict[str, str]:
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooManyRequestsError | UnavailableError):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {}
