"""Counts refused tokens per address, in bounded memory.

Owns `FailureLimiter`. Called by `bearer.py` for each refused token, and by signing in, which
counts every attempt and also those of one person. Never holds up a
valid one that the hub knows: many people share the address of a proxy. A token has 256 random bits,
so this saves work and log lines; guessing is hopeless with or without it.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import AddressValueError, IPv6Address

from radar_audit_hub.errors import TooManyRequestsError

WINDOW_MS = 60_000
MAX_ADDRESSES = 10_000
_HOST_BITS = 64


class FailureLimiter:
    """At most `per_minute` refusals of one address in a window of 60 s are answered as such."""

    def __init__(
        self, per_minute: int, sentence: str = "too many refused tokens from this address"
    ) -> None:
        """Know no address yet; `sentence` is what one above the limit is told."""
        self._per_minute, self._sentence = per_minute, sentence
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()  # window's start, count

    def __len__(self) -> int:
        """How many addresses are remembered: never above MAX_ADDRESSES."""
        return len(self._seen)

    def count(self, address: str, now_ms: int) -> None:
        """Note one refusal. Raises TooManyRequestsError from the one above the limit on."""
        whose = _network_of(address)
        start, count = self._seen.pop(whose, (now_ms, 0))
        if not 0 <= now_ms - start < WINDOW_MS:
            start, count = now_ms, 0
        self._seen[whose] = (start, min(count + 1, self._per_minute + 1))
        if len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)  # the address that failed longest ago
        if count >= self._per_minute:
            raise self._refusal(start, now_ms)

    def refuse_above(self, address: str, now_ms: int) -> None:
        """Count nothing, and raise TooManyRequestsError if the address is at its limit.

        For what is dear to find out about a token, such as asking another server.
        """
        start, count = self._seen.get(_network_of(address), (now_ms, 0))
        if 0 <= now_ms - start < WINDOW_MS and count >= self._per_minute:
            raise self._refusal(start, now_ms)

    def _refusal(self, start: int, now_ms: int) -> TooManyRequestsError:
        seconds = max(1, (start + WINDOW_MS - now_ms + 999) // 1000)
        return TooManyRequestsError(self._sentence, seconds)


def _network_of(address: str) -> str:
    """Return the 64 bits of an IPv6 address that are somebody's own; anything else as it is.

    Each host may choose among 2^64 addresses, which would be as many limits.
    """
    try:
        found = IPv6Address(address)
    except AddressValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> _HOST_BITS << _HOST_BITS)}/{_HOST_BITS}"
