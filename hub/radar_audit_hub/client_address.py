"""Which address a request comes from, also behind proxies that the settings name.

Owns that rule. Called where an address is limited or written down. A header is believed only from
a proxy that is trusted, and only the part that such proxies wrote: whatever a client put in front
of it is ignored. Never resolves a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

from .context import HUB

_HEADER = "X-Forwarded-For"
_MAX_HOPS = 20
Network = IPv4Network | IPv6Network


def address_of(request: web.Request) -> str:
    """Return the client's address; empty if the connection has none."""
    trusted = _networks(request.app[HUB].settings.trusted_proxies)
    forwarded = request.headers.getall(_HEADER, []) if trusted else []
    return client_address(request.remote or "", forwarded, trusted)


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the nearest address that is no trusted proxy, from `peer` backwards.

    `forwarded` are the lines of X-Forwarded-For, each with the addresses of hops, the nearest
    last. Where one of them is no address, the trusted hop after it is returned.
    """
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    nearest = peer
    for hop in reversed(hops[-_MAX_HOPS:]):
        if not _is_trusted(nearest, trusted):
            return nearest
        found = _parse(hop)
        if found is None:
            return nearest
        nearest = str(found)
    return nearest


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    found = _parse(address)
    return found is not None and any(found in network for network in trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


@lru_cache(maxsize=8)
def _networks(names: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(name) for name in names)
