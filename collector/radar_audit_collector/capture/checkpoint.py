"""Where the reader of a log file stands, so that a restart goes on from there.

Owns the checkpoint and its durable form. Called by the log file source; the
form is stored under the key `checkpoint/logfile`. Never holds a line or a part
of one: the head of a file is kept as a hash.
"""

from __future__ import annotations

import hashlib

import msgspec

HEAD_BYTES = 1024  # holds the first line's audit id and times, which no other file begins with


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place in one log file, `offset` bytes (uncompressed) after whole lines.

    An inode number is used again after a file is deleted, so `head_hash` over the
    first `head_bytes` says whether it is still the same file; it also finds the
    file again once it is compressed. `after` is the stamp of the last rotated file
    that needs no reading any more: should this file be gone, all later ones do.
    """

    inode: int
    offset: int
    head_bytes: int
    head_hash: str
    after: str


_CHECKPOINT = msgspec.json.Decoder(Checkpoint)


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the durable form: JSON, so that an admin can read it."""
    return msgspec.json.encode(checkpoint)


def decode_checkpoint(blob: bytes | None) -> Checkpoint | None:
    """Read the durable form; null if there is none or it is none of ours."""
    if blob is None:
        return None
    try:
        return _CHECKPOINT.decode(blob)
    except (msgspec.MsgspecError, ValueError):
        return None


def head_hash(head: bytes) -> str:
    """Return the hash of a file's first bytes, 16 bytes in hex."""
    return hashlib.blake2b(head, digest_size=16).hexdigest()
