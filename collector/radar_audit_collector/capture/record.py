"""One audit line, reduced to the fields that may be kept.

Owns the allow-list: what is copied out of an audit event of the API server and
what is dropped on the spot. Called by the log file and the webhook source and
by `explain`. Never hands on `requestURI`, a query string, argv, a request or
response body, annotations or groups of the service account, neither in a value
nor in an exception, and never does I/O.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import unquote

import msgspec
from radar_audit_events.ids import MAX_MS

from radar_audit_collector.errors import CollectorError

from .streams import MAX_SUBDOMAIN_CHARS, is_label, is_subdomain, read_streams

Stage = Literal["ResponseStarted", "ResponseComplete", "Panic"]
SkipReason = Literal[
    "not_exec",
    "malformed",
    "request_received",
    "path_mismatch",
    "bad_name",
    "line_too_long",
    "archive_unreadable",
    "file_truncated",
    "checkpoint_lost",
]

MAX_USER_CHARS = 256  # longer than any id of Radar Cloud and any e-mail address (RFC 5321: 254)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS_PER_DAY = 86_400_000_000
_MAX_US = MAX_MS * 1000 + 999
_VERBS = ("get", "create")  # WebSocket comes as GET, SPDY as POST
_SUBRESOURCES = ("exec", "attach")
_MANY_COMMAS = 1_000_000  # in one batch: more than 400 events with all that Kubernetes writes


class AuditBatchError(CollectorError):
    """A webhook body is no EventList; nothing of it is quoted."""

    def __init__(self) -> None:
        """The sentence is fixed, so that no byte of the body can be in it."""
        super().__init__('the body is no audit batch: expected {"kind":"EventList","items":[…]}')


class Skipped(msgspec.Struct, frozen=True):
    """A line (or a fault of a file) of which nothing is kept but why."""

    reason: SkipReason


class AuditRecord(msgspec.Struct, frozen=True, gc=False):
    """What is kept of one stage of one exec or attach request.

    Times are Unix microseconds. `code` is the HTTP status that was audited, null
    where there is none. `user_agent_hash` is 8 bytes in hex and empty unless the
    code is 403: it serves only to find the retry of a refused request. `by_gateway`
    tells that the times are the gateway's own and not the API server's.
    """

    audit_id: str
    stage: Stage
    verb: str
    namespace: str
    pod: str
    subresource: str
    user: str
    impersonated_user: str | None
    impersonated_groups: tuple[str, ...]
    code: int | None
    received_us: int
    stage_us: int
    container: str | None
    stdin: bool
    tty: bool
    user_agent_hash: str
    by_gateway: bool = False

    @property
    def upgrade(self) -> Literal["websocket", "spdy"]:
        """How the client asked for the stream, as the verb tells it."""
        return "websocket" if self.verb == "get" else "spdy"


_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _User(msgspec.Struct, gc=False):
    username: str = ""


class _Impersonated(msgspec.Struct, gc=False):
    username: str = ""
    groups: tuple[str, ...] | None = None


class _ObjectRef(msgspec.Struct, gc=False):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    apiGroup: str = ""  # noqa: N815 - the API server's spelling, faster than a rename


class _Status(msgspec.Struct, gc=False):
    code: int = 0


class _Line(msgspec.Struct, gc=False):
    """The typed view that is decoded; it holds the raw URI, so it never leaves this module."""

    auditID: str  # noqa: N815
    stage: str
    verb: str
    requestURI: str  # noqa: N815
    requestReceivedTimestamp: _Time  # noqa: N815
    stageTimestamp: _Time  # noqa: N815
    objectRef: _ObjectRef | None = None  # noqa: N815
    user: _User | None = None
    impersonatedUser: _Impersonated | None = None  # noqa: N815
    userAgent: str = ""  # noqa: N815
    responseStatus: _Status | None = None  # noqa: N815

    def __repr__(self) -> str:
        return "<audit line>"


class _Batch(msgspec.Struct):
    kind: Literal["EventList"]
    items: list[msgspec.Raw] | None = None


class _Item(msgspec.Struct, gc=False):
    auditID: str  # noqa: N815


class _BatchOfEvents(msgspec.Struct):
    items: list[_Item] | None = None


_LINE = msgspec.json.Decoder(_Line)
_BATCH = msgspec.json.Decoder(_Batch)
_BATCH_OF_EVENTS = msgspec.json.Decoder(_BatchOfEvents)
# msgspec's own errors, UnicodeDecodeError (a ValueError), nesting, and times outside datetime.
_DECODE_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)

_NOT_EXEC = Skipped("not_exec")
_MALFORMED = Skipped("malformed")
_REQUEST_RECEIVED = Skipped("request_received")
_PATH_MISMATCH = Skipped("path_mismatch")
_BAD_NAME = Skipped("bad_name")


def parse_batch(body: bytes) -> list[AuditRecord | Skipped]:
    """Reduce a webhook's EventList, item by item: a faulty item costs only itself.

    Raises AuditBatchError if the body as a whole is no EventList.
    """
    try:
        if body.count(b",") > _MANY_COMMAS:
            # Items of a byte each would take thirty times the body; events cannot be so many.
            _BATCH_OF_EVENTS.decode(body)
        batch: _Batch | None = _BATCH.decode(body)
    except _DECODE_ERRORS:
        batch = None
    if batch is None:
        # Outside the handler, or the decoder's error would hang on as the context.
        raise AuditBatchError
    return [parse_line(item) for item in batch.items or ()]


def parse_line(line: bytes | msgspec.Raw) -> AuditRecord | Skipped:
    """Reduce one JSON object of an audit log to a record, or say why it is skipped. Never raises.

    There is no search for b"exec" before the decoder: on lines of this size the
    decoder, which passes over unknown fields, is faster than such a search.
    """
    try:
        event = _LINE.decode(line)
    except _DECODE_ERRORS:
        return _MALFORMED
    ref = event.objectRef
    if (
        ref is None
        or ref.subresource not in _SUBRESOURCES
        or ref.resource != "pods"
        or ref.apiGroup
        or event.verb not in _VERBS
    ):
        return _NOT_EXEC
    stage = event.stage
    if stage == "RequestReceived":
        return _REQUEST_RECEIVED
    if stage not in ("ResponseStarted", "ResponseComplete", "Panic") or not event.auditID:
        return _MALFORMED
    path, _, query = event.requestURI.partition("?")
    if not _same_path(path, ref):
        return _PATH_MISMATCH
    # Before the cache, which must not hold a thousand names of a megabyte.
    if len(ref.name) > MAX_SUBDOMAIN_CHARS or not _are_names(ref.namespace[:64], ref.name):
        return _BAD_NAME
    return _record(event, stage, ref, query)  # type: ignore[arg-type]


def _record(event: _Line, stage: Stage, ref: _ObjectRef, query: str) -> AuditRecord | Skipped:
    received_us = _unix_us(event.requestReceivedTimestamp)
    stage_us = _unix_us(event.stageTimestamp)
    if min(received_us, stage_us) < 0 or max(received_us, stage_us) > _MAX_US:
        return _MALFORMED
    user = event.impersonatedUser
    if user is not None and len(user.username) > MAX_USER_CHARS:
        return _BAD_NAME
    code = event.responseStatus.code if event.responseStatus is not None else None
    container, stdin, tty = read_streams(query)
    # By place, in the order of the class: five times as fast as by keyword.
    return AuditRecord(
        event.auditID,
        stage,
        event.verb,
        ref.namespace,
        ref.name,
        ref.subresource,
        event.user.username if event.user is not None else "",
        user.username if user is not None else None,
        (user.groups or ()) if user is not None else (),
        code,
        received_us,
        stage_us,
        container,
        stdin,
        tty,
        _short_hash(event.userAgent) if code == 403 else "",
    )


def _same_path(path: str, ref: _ObjectRef) -> bool:
    """Tell whether the raw path names the object that objectRef names.

    Decoded once and then split, as the API server does it.
    """
    if path == f"/api/v1/namespaces/{ref.namespace}/pods/{ref.name}/{ref.subresource}":
        return True
    parts = unquote(path).strip("/").split("/")
    return parts == ["api", "v1", "namespaces", ref.namespace, "pods", ref.name, ref.subresource]


@lru_cache(maxsize=1024)  # few pods, many lines
def _are_names(namespace: str, pod: str) -> bool:
    return is_label(namespace) and is_subdomain(pod)


def _unix_us(time: datetime) -> int:
    delta = time - _EPOCH
    return delta.days * _MICROSECONDS_PER_DAY + delta.seconds * 1_000_000 + delta.microseconds


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
