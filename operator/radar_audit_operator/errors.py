"""Errors of the operator.

Owns the exception types that its parts raise to one another. Called by every module of the
operator; `main` turns what is left into one sentence and an exit code. Never carries a token, a
secret or a request's body in a message.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Root of every error of the operator; its text is one sentence for people."""


class SpecError(OperatorError):
    """A custom resource cannot be understood, which its schema should have refused."""


class ClusterError(OperatorError):
    """The API server refused a request: `status` and the reason that it gave."""

    def __init__(self, status: int, reason: str) -> None:
        """Keep the status for decisions; `reason` is a short text of the API server."""
        super().__init__(f"the API server answered {status}: {reason}")
        self.status = status


class ClusterUnreachableError(OperatorError):
    """The API server gave no usable answer; the same request is tried again later."""

    def __init__(self, reason: str) -> None:
        """Keep a short reason (it becomes a log field)."""
        super().__init__(f"the API server gave no usable answer: {reason}")
        self.reason = reason


class HubUnreachableError(OperatorError):
    """The hub gave no usable answer; the same request is tried again later.

    `retry_after_seconds` is the hub's own wish, already bounded, or null.
    """

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        """Keep a short reason (it becomes a condition's message and a metric label)."""
        super().__init__(f"the hub gave no usable answer: {reason}")
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class HubUnauthorizedError(OperatorError):
    """The hub answered 401: the cluster token is wrong, rotated or revoked."""


class HubRefusedError(OperatorError):
    """The hub refused what was sent, and will again until it changes.

    `code` is one of the hub's stable codes; the text is the hub's own sentence.
    """

    def __init__(self, status: int, code: str, sentence: str) -> None:
        """Keep status and code; all are bounded in length by the caller."""
        super().__init__(sentence)
        self.status = status
        self.code = code
