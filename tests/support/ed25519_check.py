"""Verifies Ed25519 signatures by the arithmetic of RFC 8032, section 5.1.7, and nothing else.

Owns `verifies`, an implementation apart from the one that signs. Called by the tests of
signatures. Slow, and never for anything but tests.
"""

from __future__ import annotations

import hashlib

P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]


def _add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    product = _D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def _times(factor: int, point: Point) -> Point:
    found: Point = (0, 1)
    while factor:
        if factor & 1:
            found = _add(found, point)
        point = _add(point, point)
        factor >>= 1
    return found


def _point(raw: bytes) -> Point:
    number = int.from_bytes(raw, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _ROOT % P
    assert (x * x - square) % P == 0, "no point of the curve"
    return (P - x if x & 1 != sign else x), y


_BASE = _point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether a signature of 64 bytes is the public key's for a message."""
    at, factor = signature[:32], int.from_bytes(signature[32:], "little")
    if factor >= _ORDER:
        return False
    digest = hashlib.sha512(at + public + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    return _times(factor, _BASE) == _add(_point(at), _times(challenge, _point(public)))
