"""Which URLs and addresses a notification may be sent to: pure.

Owns the judgement that keeps a destination from reaching into the hub's own network (SSRF): what
a URL may look like, and which addresses are public. Called by `guard.py`, which asks again for
the very address that is connected to. A sentence never repeats a URL, which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from yarl import URL

Address = IPv4Address | IPv6Address
MAX_URL_CHARS = 2048
_LOWEST_FREE_PORT = 1024  # below it are services that speak no HTTP, and are worth attacking
_AUTHORITY_END = re.compile("[/?#]")
# Where clouds hand out credentials; some of these are public addresses by the registry.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
_UNICAST = IPv6Network("2000::/3")  # all that is given out; the rest is special
_NAT64 = IPv6Network("64:ff9b::/96")  # how an IPv6-only cluster sees the public IPv4 hosts
# Within 2000::/3: protocol assignments with Teredo, documentation, 6to4.
_SPECIAL_V6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_SPECIAL_V4 = tuple(ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24"))


class UrlRefusedError(Exception):
    """A URL that nothing is sent to; the sentence says why and may be shown."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The private networks that an administrator has named."""

    networks: tuple[str, ...] = ()

    def has(self, address: Address) -> bool:
        """Tell whether an address is in one of them."""
        found = (ip_network(text) for text in self.networks)
        return any(address in net for net in found if net.version == address.version)


def refusal(address: Address, allowed: Allowed, *, scheme: Literal["https", "http"]) -> str | None:
    """Return why nothing is sent to an address, None if it may be.

    Public ones take https; those in `allowed` http as well.
    """
    plain = _plain(address)
    if plain in _METADATA or plain.is_link_local:
        return "its address is link-local or a metadata service, where nothing is sent"
    if allowed.has(plain):
        return None
    if not _is_public(plain):
        return (
            "its address is not public; an administrator may allow its network by "
            "RADAR_AUDIT_HUB_NOTIFY_ALLOWED_NETWORKS"
        )
    return None if scheme == "https" else "http is for allowed networks only; use https"


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for on its way, or the address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in net for net in _SPECIAL_V4)
    # An address of ISATAP holds an IPv4 address of its own.
    is_tunnel = (int(address) >> 32) & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE)
    return address in _UNICAST and not is_tunnel and not any(address in net for net in _SPECIAL_V6)


def read_url(text: str, allowed: Allowed) -> URL:
    """Return a URL that something may be sent to, as far as it can be told without a name server.

    https; http where `guard.py` then finds an allowed network; no user or password; ports 443
    and from 1024 on, others only for a literal address in an allowed network; a host that is a
    name or an address as it is usually written. Raises UrlRefusedError.
    """
    url = _parsed(text)
    host, literal = _host(url)
    scheme: Literal["https", "http"] = "https" if url.scheme == "https" else "http"
    in_allowed = literal is not None and allowed.has(_plain(literal))
    if literal is not None and (why := refusal(literal, allowed, scheme=scheme)):
        raise UrlRefusedError(why)
    if scheme == "http" and not allowed.networks:
        raise UrlRefusedError("it must be an https URL")
    port = url.port or 0
    usual = 443 if scheme == "https" else 80
    if not in_allowed and port != usual and port < _LOWEST_FREE_PORT:
        raise UrlRefusedError(f"its port must be {usual}, or {_LOWEST_FREE_PORT} or above")
    if not host:
        raise UrlRefusedError("it has no host")
    return url


def _parsed(text: str) -> URL:
    if len(text) > MAX_URL_CHARS:
        raise UrlRefusedError(f"it is longer than {MAX_URL_CHARS} characters")
    if any(char <= " " or char in "\\\x7f" for char in text):
        raise UrlRefusedError("it has white space, a backslash or a control character")
    try:
        url = URL(text)
        _ = url.port  # is read late, and may be none
    except (ValueError, UnicodeError):
        raise UrlRefusedError("it is no URL") from None
    if url.scheme not in ("https", "http"):
        raise UrlRefusedError("it must be an https URL")
    if "@" in _AUTHORITY_END.split(text.partition("//")[2], maxsplit=1)[0]:
        raise UrlRefusedError("it must not hold a user or a password")
    return url


def _host(url: URL) -> tuple[str, Address | None]:
    """Return the host, and the address that it is if it is one. Raises UrlRefusedError."""
    host = (url.raw_host or "").lower().rstrip(".")
    if "%" in host:
        raise UrlRefusedError("its host has a percent sign")
    try:
        return host, ip_address(host)
    except ValueError:
        pass
    # 2130706433, 0177.0.0.1, 0x7f.1: ways to write 127.0.0.1 that C libraries understand.
    last = host.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        raise UrlRefusedError("its host is a number that is no address as usually written")
    return host, None


def first_refusal(
    addresses: Iterable[str], allowed: Allowed, *, scheme: Literal["https", "http"]
) -> str | None:
    """Return why nothing is sent to a host that has these addresses: one refused is enough."""
    for text in addresses:
        try:
            why = refusal(ip_address(text.partition("%")[0]), allowed, scheme=scheme)
        except ValueError:
            why = "the name server answered with something that is no address"
        if why is not None:
            return why
    return None
