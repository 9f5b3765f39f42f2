"""When a certificate ends, read from its PEM with the standard library alone.

Called by `tls`. Never checks a certificate: OpenSSL has taken it already. A library would read it,
too, but the collector's process would be a fifth larger for that one date.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18


def end_of(pem: str) -> float:
    """Return when the first certificate of a PEM text ends, in Unix seconds.

    ValueError when there is none. The places are those of RFC 5280, section 4.1.
    """
    block = _BLOCK.search(pem)
    if block is None:
        raise ValueError("there is no certificate in it")
    der = ssl.PEM_cert_to_DER_cert(block[0])
    try:
        return _end_of(der)
    except IndexError:
        raise ValueError("the certificate is cut short") from None


def _end_of(der: bytes) -> float:
    _, at, _ = _element(der, 0)  # Certificate
    _, at, _ = _element(der, at)  # its TBSCertificate
    tag, _, end = _element(der, at)
    if tag == _VERSION:
        _, _, end = _element(der, end)  # the serial number
    for _ in ("algorithm", "issuer"):
        _, _, end = _element(der, end)
    _, at, _ = _element(der, end)  # Validity
    _, _, end = _element(der, at)  # its notBefore
    tag, start, end = _element(der, end)
    return _seconds(tag, der[start:end].decode("ascii"))


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of an element, where its content begins, and where it ends."""
    tag, size, start = der[at], der[at + 1], at + 2
    if size >= 0x80:
        width = size & 0x7F
        size = int.from_bytes(der[start : start + width], "big")
        start += width
    if start + size > len(der):
        raise IndexError
    return tag, start, start + size


def _seconds(tag: int, text: str) -> float:
    if tag == _UTC_TIME:  # two digits of a year stand for 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("its end is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
