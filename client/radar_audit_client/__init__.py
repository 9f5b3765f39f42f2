"""Records actions of another control plane in an organization's audit log."""

from .errors import ClientError, GaveUpError, RefusedError
from .events import Event, FieldProblem, Result
from .recorder import Recorder

__all__ = [
    "ClientError",
    "Event",
    "FieldProblem",
    "GaveUpError",
    "Recorder",
    "RefusedError",
    "Result",
]
