"""Connects deliveries to checked addresses only, and to exactly those that were checked.

Owns the resolver and the connector of the delivery sessions: a name is resolved once for each
connection, all its addresses are judged (`addresses.py`), and what is connected to is judged
once more in the moment the socket is made. The name stays in SNI and Host, and the certificate
is checked against it. Called by `deliveries.py`. Never caches a name and never asks a proxy.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from radar_audit_hub.outbound import RefusedAddressError

from .addresses import Allowed, first_refusal

# A connection that was idle for longer may be closed by the receiver in the very moment.
KEEP_ALIVE_SECONDS = 2.0
MAX_LANES = 64  # destinations that one replica delivers to at once
MAX_TESTS = 16  # tests of destinations that it makes beside them
# Enough for all: one that waited for another's receiver would count the wait as its own's failure.
MAX_CONNECTIONS = MAX_LANES + MAX_TESTS
_LOOKUPS = 32  # names that are looked up at once: a slow name server delays few others
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int], Sequence[AddressInfo]]


def look_up(host: str, port: int) -> Sequence[AddressInfo]:
    """Return what the system's resolver finds. Blocks; raises OSError."""
    return socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_ADDRCONFIG
    )


class Guard(AbstractResolver):
    """Resolves names for one scheme and refuses a host with any address that is not allowed."""

    def __init__(
        self, allowed: Allowed, scheme: Literal["https", "http"], lookup: Lookup = look_up
    ) -> None:
        """Look nothing up yet; `lookup` is called in threads of the guard's own."""
        self._allowed, self._scheme, self._lookup = allowed, scheme, lookup
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="delivery names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises OSError, RefusedAddressError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        self._check([str(info[4][0]) for info in found])
        return [
            ResolveResult(
                hostname=host,
                host=str(info[4][0]),
                port=port,
                family=info[0],
                proto=info[2],
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for info in found
        ]

    async def close(self) -> None:
        """Let go of the threads, without waiting for a look-up that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def make_socket(self, info: AddressInfo) -> socket.socket:
        """Return a socket for an address, after a last look at it. Raises RefusedAddressError."""
        self._check([str(info[4][0])])
        return socket.socket(info[0], info[1], info[2])

    def _check(self, addresses: Sequence[str]) -> None:
        why = first_refusal(addresses, self._allowed, scheme=self._scheme)
        if why is not None:
            raise RefusedAddressError(f"refused: {why}")


def connector(guard: Guard, ca_file: Path | None) -> aiohttp.BaseConnector:
    """Return what connects by a guard; `ca_file` (PEM) is trusted beside the system's. Blocks."""
    tls = ssl.create_default_context()
    if ca_file is not None:
        tls.load_verify_locations(ca_file)
    return aiohttp.TCPConnector(
        limit=MAX_CONNECTIONS,
        resolver=guard,
        use_dns_cache=False,
        socket_factory=guard.make_socket,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        ssl=tls,
    )
