"""The way to the API server: its address, its protocols, and new connections to it.

Owns dialling and the probe of what the API server speaks. Called by `connection`
and `relay`. A connection that does not speak the mirrored protocol is closed at
once: the client was promised it. Never holds a credential.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from .contexts import H1, H2, NONE, Protocols, UpstreamContexts
from .engine import Buffers
from .side import NOBODY, Owner, Side


class UpstreamError(Exception):
    """The API server could not be reached or does not speak the mirrored protocol.

    `mismatch` tells the second case.
    """

    def __init__(self, *, mismatch: bool = False) -> None:
        """Keep which of the two it is; nothing else is ever in it."""
        super().__init__("the API server cannot be used")
        self.mismatch = mismatch


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API server is, and which name its certificate must have."""

    host: str
    port: int
    server_name: str


class Upstream:
    """Dials; `endpoint` may be replaced at any time and counts for new connections."""

    def __init__(self, endpoint: Endpoint, contexts: UpstreamContexts, buffers: Buffers) -> None:
        self.endpoint = endpoint
        self.contexts = contexts
        self._buffers = buffers

    async def dial(self, owner: Owner, protocol: str) -> Side:
        """Return a side whose handshake is done; it holds what comes. Raises UpstreamError."""
        side = await self._connect(owner, self.contexts.context(protocol))
        if side.protocol != protocol:
            side.abort()
            raise UpstreamError(mismatch=True)
        return side

    async def probe(self) -> Protocols:
        """Return the protocols that the API server speaks. Raises UpstreamError."""
        side = await self._connect(NOBODY, self.contexts.probe)
        selected = side.protocol
        side.finish(clean=True)
        side.abort()
        if selected == H2:
            return (H2, H1)
        return (H1,) if selected == H1 else (NONE,)

    async def _connect(self, owner: Owner, context: ssl.SSLContext) -> Side:
        endpoint = self.endpoint
        side = Side(owner, self._buffers, context, endpoint.server_name)
        try:
            # Not with happy_eyeballs_delay: cancelled at the wrong time, it leaks a socket.
            await asyncio.get_running_loop().create_connection(
                lambda: side, endpoint.host, endpoint.port
            )
            if await side.shake_hands():
                return side
        except OSError:
            raise UpstreamError from None
        except asyncio.CancelledError:
            side.abort()
            raise
        side.abort()
        raise UpstreamError
