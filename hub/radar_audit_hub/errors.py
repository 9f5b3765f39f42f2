"""The hub's exception types: what went wrong, never which HTTP status that is.

Owns the types that handlers, auth and the store raise for a caller's mistake or
a state that the caller must hear of. `http_errors.py` alone turns them into
answers. Never carries a secret, a token or terminal content in a message.
"""

from __future__ import annotations

from collections.abc import Sequence

from radar_audit_events.errors import FieldError


class HubError(Exception):
    """Root of the errors that a caller of the hub gets to see; the message is for people."""


class UnauthorizedError(HubError):
    """No credential, or one that is unknown, expired, revoked or of the wrong kind."""


class ForbiddenError(HubError):
    """The caller is known but may not do this.

    `required_roles` are the roles that may; `required_scope` is set when the role
    would do but the token's scopes do not hold it.
    """

    def __init__(
        self, message: str, required_roles: Sequence[str] = (), required_scope: str | None = None
    ) -> None:
        """Keep who may do it beside the sentence."""
        super().__init__(message)
        self.required_roles = tuple(required_roles)
        self.required_scope = required_scope


class NotFoundError(HubError):
    """There is no such thing for this caller: unknown, foreign and expired look alike."""


class ConflictError(HubError):
    """The request is well made, but the state of things does not allow it; the message says why."""


class PlanLimitError(HubError):
    """The organization's plan does not allow one more; `limit` is how many it allows."""

    def __init__(self, message: str, limit: int) -> None:
        """Keep the limit beside the sentence."""
        super().__init__(message)
        self.limit = limit


class InvalidParametersError(HubError):
    """URL parameters are wrong; `errors` names each and says what was expected."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """Keep the field errors; the message joins them."""
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = tuple(errors)


class InvalidCursorError(HubError):
    """A cursor is not one of ours, is damaged, or belongs to another org or filter."""


class InvalidQueryError(HubError):
    """The parameter `q` is wrong at `position` (0-based character offset)."""

    def __init__(self, position: int, expected: str) -> None:
        """State the position and what was expected there."""
        super().__init__(f"q is wrong at position {position}: expected {expected}")
        self.position = position
        self.expected = expected


class InvalidBodyError(HubError):
    """A request body is not the JSON document that the route takes; `errors` names each field."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        """Keep the field errors; the message joins them."""
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = tuple(errors)


class DocumentQueryError(InvalidBodyError):
    """A query inside a document cannot be read; `errors` says where and what was expected."""


class UnknownActionError(InvalidBodyError):
    """A document names an action that is not in the table; `errors` has the nearest known one."""


class StaleGenerationError(HubError):
    """A later generation of the same object is stored already."""


class ForeignOwnerError(HubError):
    """The owner belongs to another cluster than the token."""


class ScopeMissingError(HubError):
    """The cluster's token may not write the org's own settings."""


class TooManyOwnersError(HubError):
    """The cluster has as many documents as one may have."""


class BodyTooLargeError(HubError):
    """A request body is longer than the route takes (counted after decompression)."""

    def __init__(self, limit_bytes: int) -> None:
        """Name the limit."""
        super().__init__(f"the body must be at most {limit_bytes} bytes after decompression")
        self.limit_bytes = limit_bytes


class UnsupportedMediaTypeError(HubError):
    """A request body has a Content-Type or Content-Encoding that the route does not take."""


class MalformedRequestError(HubError):
    """The request breaks HTTP itself: framing, encoding of the body, a header."""


class TooManyRequestsError(HubError):
    """A bound on concurrent or repeated work is reached; try again after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        """Keep the pause beside the sentence."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(HubError):
    """The database or another part is away for now; try again after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: int = 2) -> None:
        """Keep the pause beside the sentence."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
