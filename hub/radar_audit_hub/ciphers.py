"""AES-256-GCM and Ed25519, from a library that is loaded when something first needs them.

Owns what the hub uses of that library. Called by `sealing.py` and `notify/signing.py`. Loads by
name: it takes 6 MiB, and a hub whose alerts go nowhere, or to what needs no secret, never pays.
Never keeps a key; an error never holds one.
"""

from __future__ import annotations

import importlib
from typing import Any


class CipherError(Exception):
    """What was encrypted does not open: another key, another context, or it was changed."""


def encrypt(key: bytes, nonce: bytes, plain: bytes, context: bytes) -> bytes:
    """Return `plain` encrypted by AES-256-GCM, with its tag; it opens for the same `context`.

    `key` has 32 bytes, `nonce` 12, never the same twice with one key.
    """
    text: bytes = (
        _loaded("hazmat.primitives.ciphers.aead").AESGCM(key).encrypt(nonce, plain, context)
    )
    return text


def decrypt(key: bytes, nonce: bytes, text: bytes, context: bytes) -> bytes:
    """Return what `encrypt` was given. Raises CipherError."""
    cipher = _loaded("hazmat.primitives.ciphers.aead").AESGCM(key)
    try:
        plain: bytes = cipher.decrypt(nonce, text, context)
    except (_loaded("exceptions").InvalidTag, ValueError):
        raise CipherError("it does not open") from None
    return plain


def ed25519_signature(seed: bytes, text: bytes) -> bytes:
    """Return the signature of `text`, 64 bytes. Raises ValueError for a seed of not 32 bytes."""
    keys = _loaded("hazmat.primitives.asymmetric.ed25519")
    signature: bytes = keys.Ed25519PrivateKey.from_private_bytes(seed).sign(text)
    return signature


def _loaded(module: str) -> Any:
    return importlib.import_module(f"cryptography.{module}")
