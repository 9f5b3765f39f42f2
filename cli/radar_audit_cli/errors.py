"""Errors of the command line and the exit code that each one means.

Owns every exception that a command ends with. `main` turns them into one
sentence on standard error and an exit code; nothing else prints errors.
Never carries a token: messages are made from places and answers, not headers.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the program's exit code says; scripts rely on these numbers."""

    OK = 0
    ERROR = 1
    USAGE_OR_CANCELLED = 2
    VERIFICATION_FAILED = 3
    NEEDS_LOGIN = 4
    NOTHING_MATCHED = 5
    PARTIAL_EXPORT = 8


class CliError(Exception):
    """A sentence for people, what to do about it, and the hub's id of the request.

    `excerpt` is a block of lines that shows the place (a query and a caret).
    """

    exit_code = ExitCode.ERROR

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        request_id: str | None = None,
        excerpt: str | None = None,
    ) -> None:
        """Keep the parts; the message alone is the exception's text."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.request_id = request_id
        self.excerpt = excerpt


class ArgumentError(CliError):
    """What was typed, or is set in the environment, cannot be meant so."""

    exit_code = ExitCode.USAGE_OR_CANCELLED


class LoginError(CliError):
    """There is no token, or the hub does not accept it."""

    exit_code = ExitCode.NEEDS_LOGIN


class NoMatchError(CliError):
    """Nothing matched, and `--exit-code` asked to be told so."""

    exit_code = ExitCode.NOTHING_MATCHED


class PartialExportError(CliError):
    """An export ended before its end; what came is kept."""

    exit_code = ExitCode.PARTIAL_EXPORT


class UnreachableError(CliError):
    """The hub gave no answer: no connection, no trust, or no time left."""


class CutError(UnreachableError):
    """An answer began and did not reach its end."""


class RefusedError(CliError):
    """The hub answered with an error.

    `status` is the HTTP status, `code` the problem document's code (empty if
    the answer was none), and `retry_after_seconds` how long the hub asks to
    wait, if it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        hint: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Derive the exit code from the status: 400 and 422 are usage, 401 is login."""
        super().__init__(message, hint=hint, request_id=request_id)
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds
        if status == 401:
            self.exit_code = ExitCode.NEEDS_LOGIN
        elif status in (400, 422):
            self.exit_code = ExitCode.USAGE_OR_CANCELLED

    @property
    def is_passing(self) -> bool:
        """Tell whether the same request may succeed later: too many requests, or a 5xx."""
        return self.status == 429 or self.status >= 500
