"""Errors of the collector.

Owns the exception types that its parts raise to one another. Called by every
module of the collector; `main` turns what is left into one sentence and an exit
code. Never carries a token, a request body or an audit line in a message.
"""

from __future__ import annotations


class CollectorError(Exception):
    """Root of every error of the collector; its text is one sentence for people."""


class SpoolError(CollectorError):
    """The spool cannot be used at all: only an admin can mend it."""


class SpoolLockedError(SpoolError):
    """Another process owns the spool directory."""


class SpoolUnavailableError(CollectorError):
    """The spool cannot write just now (full disk, read-only, I/O error); it recovers by itself.

    Nothing of the refused call was kept: the caller offers it again later.
    """


class WebhookError(CollectorError):
    """The webhook sink cannot start: its certificate, key or address is wrong."""


class GatewayError(CollectorError):
    """The gateway cannot start or renew: a folder, a file or its address is wrong."""


class HubUnreachableError(CollectorError):
    """The hub gave no usable answer; the same request is tried again later.

    `retry_after_seconds` is the hub's own wish, already bounded, or null.
    """

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        """Keep a short reason (it becomes a log field and a metric label)."""
        super().__init__(f"the hub gave no usable answer: {reason}")
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class HubRefusedTokenError(CollectorError):
    """The hub answered 401 or 403: the cluster token is wrong, rotated or revoked."""

    def __init__(self, status: int, message: str = "") -> None:
        """Keep the status, and the hub's sentence (bounded in length), for the log."""
        super().__init__(f"the hub refused the cluster token with {status}")
        self.status = status
        self.message = message


class HubRefusedBatchError(CollectorError):
    """The hub answered 400, 413 or 422 to a batch as a whole: it must be divided."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep status, and the problem's code and sentence, both bounded in length."""
        super().__init__(f"the hub refused a batch with {status} ({code})")
        self.status = status
        self.code = code
        self.message = message
