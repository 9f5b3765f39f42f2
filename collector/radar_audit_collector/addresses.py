"""Addresses in settings: `host:port`, and whether a host is loopback.

Owns their form. Called by the classes that hold settings, and by `app`. Pure;
never resolves a name.
"""

from __future__ import annotations

import ipaddress
import re

_ADDRESS = re.compile(r"^(?:\[([0-9a-fA-F:]+)\]|([^\s:\[\]/]+)):(\d{1,5})\Z")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine's own, by name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(variable: str, address: str) -> tuple[str, int]:
    """Split `host:port` (an IPv6 host in brackets). Raises ValueError that names `variable`."""
    match = _ADDRESS.match(address)
    if match is None or int(match[3]) > 65535:
        raise ValueError(
            f"{variable} is {address!r}; it must be an address and a port, such as 127.0.0.1:9281"
        )
    return match[1] or match[2], int(match[3])
