"""What to do with the first request of an HTTP/1 connection, so that no exec passes unseen.

Owns the decision and its reasons; `connection` carries it out. Pure. The rules:

- An exec (or attach) goes upstream with an Audit-ID; its answer is watched. So is
  that of any other request for an upgrade: nothing the client sends reaches the API
  server before a 101, and nothing ever after any other answer.
- Every other request goes upstream with `Connection: close`, so that there is no
  second one.
- A head over 64 KiB is refused if its path is an exec's or cannot be seen; else it
  passes, closed off as above. So does a head that Go's server will refuse anyway,
  unless its path is an exec's.

What is added goes right behind the request line: that is a place in the head
whatever a reader makes of the lines that follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from . import heads
from .answers import refusal
from .exec_request import ExecRequest, Target, exec_names, new_audit_id, read_exec, read_target
from .heads import MAX_HEAD_BYTES, RequestHead, RequestLine

Note = Literal[
    "exec_seen",
    "exec_unnamed",
    "exec_malformed",
    "exec_oversized",
    "upgrade_watched",
    "closed_off",
    "not_closed_off",
    "head_unparsed",
    "head_malformed",
]
CLOSE_FIELD = b"Connection: close\r\n"
_BLANKS = b" \t"
_UPGRADES = (b"websocket", b"spdy/")

OVERSIZED = refusal(
    431,
    "RequestHeaderFieldsTooLarge",
    "the gateway takes request heads of up to 64 KiB for exec and attach; shorten the command",
)
MALFORMED = refusal(400, "BadRequest", "the gateway cannot read the head of this exec or attach")


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes where.

    `refuse` is an answer for the client; then nothing goes upstream. Else `send`
    goes upstream first; `rest` are the client's bytes behind it. `watch`: hold
    them until the status is known. `line_open`: the line feed of the request line is
    still to come, in `rest` or later, and CLOSE_FIELD must follow it. `exec` has the facts of
    an exec with usable names.
    """

    notes: tuple[Note, ...]
    send: bytes = field(default=b"", repr=False)
    rest: bytes = field(default=b"", repr=False)
    refuse: bytes | None = field(default=None, repr=False)
    watch: bool = False
    line_open: bool = False
    exec: ExecRequest | None = None
    audit_id: str = ""


def decide(
    buffer: bytearray, looked_at: int, random_bytes: bytes, *, close_off: bool
) -> Decision | None:
    """Decide on the bytes that a client has sent so far; null: more are needed.

    `looked_at` is the length of the buffer at the last call, `random_bytes` are 16
    for a new Audit-ID. `close_off` false leaves ordinary requests as they are.
    """
    end = heads.find_end(buffer, looked_at)
    if end < 0 or end > MAX_HEAD_BYTES:
        if len(buffer) < MAX_HEAD_BYTES:
            return None
        return _unfinished(buffer, close_off=close_off)
    raw, rest = bytes(buffer[:end]), bytes(buffer[end:])
    head = heads.parse(raw)
    line = heads.read_request_line(raw)
    target = None if line is None else read_target(line.method, line.target)
    if head is None or target is None:
        return _malformed(raw, rest, line, target, close_off=close_off)
    if exec_names(target.path) is not None:
        return _exec(head, target, raw, rest, random_bytes)
    if _asks_for_upgrade(head):
        return Decision(("upgrade_watched",), raw, rest, watch=True)
    return _ordinary(raw, rest, head.line.end, (), close_off=close_off)


def pass_line(held: bytearray) -> tuple[bytes, bool]:
    """Take what may pass of a request line that goes on (see `line_open`) out of `held`.

    Return it, and whether the line is over: then CLOSE_FIELD is in it, and `held` may pass.
    """
    end = held.find(b"\n") + 1
    is_over = 0 < end < len(held)
    if is_over:
        # A fold would join the field; Go refuses such a head as it is.
        passing = bytes(held[:end]) + (b"" if held[end] in _BLANKS else CLOSE_FIELD)
    else:
        end = len(held) - 1 if end else len(held)  # whether a fold follows is not known yet
        passing = bytes(held[:end])
    del held[:end]
    return passing, is_over


def _exec(
    head: RequestHead, target: Target, raw: bytes, rest: bytes, random_bytes: bytes
) -> Decision:
    facts = read_exec(head, target)
    audit_id = "" if facts is None else facts.audit_id
    if not head.first(b"audit-id"):
        audit_id = new_audit_id(random_bytes)
        raw = _with_field(raw, head.line.end, f"Audit-ID: {audit_id}\r\n".encode())
    note: Note = "exec_unnamed" if facts is None else "exec_seen"
    return Decision((note,), raw, rest, watch=True, exec=facts, audit_id=audit_id)


def _ordinary(
    raw: bytes, rest: bytes, line_end: int, notes: tuple[Note, ...], *, close_off: bool
) -> Decision:
    if not close_off:
        return Decision((*notes, "not_closed_off"), raw, rest)
    return Decision((*notes, "closed_off"), _with_field(raw, line_end, CLOSE_FIELD), rest)


def _malformed(
    raw: bytes, rest: bytes, line: RequestLine | None, target: Target | None, *, close_off: bool
) -> Decision:
    """Go answers such a head with 400 and closes; closing it off is for servers that do not."""
    if target is not None and exec_names(target.path) is not None:
        return Decision(("exec_malformed",), refuse=MALFORMED)
    if line is None or raw[line.end : line.end + 1] in _BLANKS:
        # No place for a field: behind the line would come a fold, and join it.
        return Decision(("head_malformed",), raw, rest)
    return _ordinary(raw, rest, line.end, ("head_malformed",), close_off=close_off)


def _unfinished(buffer: bytearray, *, close_off: bool) -> Decision:
    """Decide on a head of more than 64 KiB by its request line alone."""
    # Only its first 64 KiB count, or the decision would depend on how the bytes arrived.
    start = bytes(buffer[:MAX_HEAD_BYTES])
    line = heads.read_request_line(start)
    if line is not None:
        target = read_target(line.method, line.target)
        if target is not None and exec_names(target.path) is not None:
            return Decision(("exec_oversized",), refuse=OVERSIZED)
        following = bytes(buffer[line.end : line.end + 1])
        if not following:
            return _line_open(buffer, line.end - 1, close_off=close_off)
        if following in _BLANKS:
            return Decision(("head_unparsed",), bytes(buffer))
        return _ordinary(bytes(buffer), b"", line.end, ("head_unparsed",), close_off=close_off)
    if b"\n" in start:  # a request line that Go refuses
        return Decision(("head_unparsed", "head_malformed"), bytes(buffer))
    method, _, begun = start.partition(b" ")
    text, space, _ = begun.partition(b" ")
    target = read_target(method, text) if space or b"?" in text else None
    if target is None or exec_names(target.path) is not None:
        return Decision(("exec_oversized",), refuse=OVERSIZED)
    return _line_open(buffer, MAX_HEAD_BYTES, close_off=close_off)


def _line_open(buffer: bytearray, line_end: int, *, close_off: bool) -> Decision:
    """Let a request line pass that goes on; what follows it is not to be seen yet."""
    if not close_off:
        return Decision(("head_unparsed", "not_closed_off"), bytes(buffer))
    begun, rest = bytes(buffer[:line_end]), bytes(buffer[line_end:])
    return Decision(("head_unparsed", "closed_off"), begun, rest, line_open=True)


def _asks_for_upgrade(head: RequestHead) -> bool:
    """Tell whether the API server may answer 101, and needs no body for that."""
    if any(b"upgrade" in value.lower() for value in head.values(b"connection")):
        protocols = [value.lower() for value in head.values(b"upgrade")]
        wanted = any(name in value for value in protocols for name in _UPGRADES)
        bodyless = not head.values(b"transfer-encoding") and all(
            value == b"0" for value in head.values(b"content-length")
        )
        return wanted and bodyless
    return False


def _with_field(raw: bytes, line_end: int, added: bytes) -> bytes:
    return raw[:line_end] + added + raw[line_end:]
