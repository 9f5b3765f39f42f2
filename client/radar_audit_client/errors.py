"""What can go wrong with a call as a whole.

Owns the exception types. Raised by `recorder.py` and `events.py`. Never carries the token.
"""

from __future__ import annotations


class ClientError(Exception):
    """Root of the errors that this client raises."""


class RefusedError(ClientError):
    """The server refuses the call, and would again: `status` is HTTP's, `code` the server's."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        """Keep what the server said."""
        super().__init__(f"the server answers {status} ({code}): {detail}")
        self.status, self.code = status, code


class GaveUpError(ClientError):
    """The call did not get through in time; the same events may be sent again later."""
