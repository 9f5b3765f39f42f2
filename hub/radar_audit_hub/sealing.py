"""Encrypts what the hub has to keep and must not show: secrets of alert destinations.

Owns the key and the form: AES-256-GCM, a fresh nonce each, bound to whose secret it is. The key is
a setting, since all replicas need the same; with the SQLite file, whose only user is this
process, one is made beside it. Called by `policy/`. Never logs a key or what it opens.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from pathlib import Path

from .ciphers import CipherError, decrypt, encrypt

KEY_BYTES = 32
KEY_FILE = "secrets.key"
_NONCE_BYTES = 12
_FORM = b"\x01"  # the first byte of what is sealed, so that there can be another form one day


class SealError(Exception):
    """A key of another form, or something sealed that this key does not open."""


class Sealer:
    """Seals and opens with one key."""

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        """Take a key of 32 bytes and a source of randomness. Raises SealError."""
        if len(key) != KEY_BYTES:
            raise SealError(f"the key must be {KEY_BYTES} bytes")
        self._key, self._random_bytes = key, random_bytes

    def seal(self, plain: bytes, whose: str) -> bytes:
        """Return `plain` encrypted; it opens only for the same `whose`."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _FORM + nonce + encrypt(self._key, nonce, plain, whose.encode())

    def open(self, sealed: bytes, whose: str) -> bytes:
        """Return what was sealed for `whose`. Raises SealError."""
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _FORM:
                raise SealError("stored secrets are of a form that this version does not know")
            return decrypt(self._key, nonce, text, whose.encode())
        except CipherError:
            raise SealError(
                "stored secrets do not open with this key; RADAR_AUDIT_HUB_SECRETS_KEY must be "
                "the one that they were stored with"
            ) from None


def read_key(text: str) -> bytes:
    """Return the key that a setting gives: 32 bytes in base64. Raises SealError."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError("it must be 32 random bytes in base64, as `openssl rand -base64 32` prints")
    return key


def key_beside(data_dir: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """Return the key in the file `secrets.key` of a folder, made if there is none, for its owner.

    Raises SealError for a file that is no key, OSError where it cannot be written.
    """
    path = data_dir / KEY_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = data_dir / f"{KEY_FILE}.{random_bytes(8).hex()}"
        try:
            _write(draft, base64.b64encode(random_bytes(KEY_BYTES)))
            # It gets its name whole, or not at all: another process may be doing the same.
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink(missing_ok=True)
    return read_key(path.read_text().strip())


def _write(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
