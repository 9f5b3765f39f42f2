"""The relay process: `python -m radar_audit_collector.capture.gateway DESCRIPTOR`.

Owns the process: its hardening, its config (the first line from the socket pair
whose descriptor it is given), its signals and its end. Started by `process`.
Imports the standard library and the gateway only: no HTTP server, no database, no
crypto library. Writes nothing to its standard output or error.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from typing import Any

from radar_audit_runtime.tasks import harden_process

from .config import RelayConfig, decode_config
from .messages import MAX_LINE_BYTES, encode
from .relay import Relay

ENDED, FAILED = 0, 1


def main() -> int:
    """Run the relay until it is drained; return the exit code."""
    harden_process()
    # asyncio would log addresses and types only; but nothing here may write at all.
    logging.getLogger("asyncio").disabled = True
    sock = socket.socket(fileno=int(sys.argv[1]))
    config = decode_config(_first_line(sock))
    sock.setblocking(False)
    with asyncio.Runner(debug=False) as runner:
        return runner.run(_live(config, sock))


async def _live(config: RelayConfig, sock: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    try:
        relay = Relay(config)
        await loop.create_connection(lambda: relay.link, sock=sock)
        relay.start()
    except (OSError, ssl.SSLError) as exc:
        _say_failure(sock, config, exc)
        return FAILED
    loop.set_exception_handler(lambda _, context: _on_fault(relay, context))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, relay.drain, config.drain_seconds)
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked at again
    await relay.drained.wait()
    return ENDED


def _on_fault(relay: Relay, context: Mapping[str, Any]) -> None:
    error = context.get("exception")
    relay.unexpected(error if isinstance(error, BaseException) else RuntimeError())


def _first_line(sock: socket.socket) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte or len(line) > MAX_LINE_BYTES:
            raise SystemExit(FAILED)
        line += byte
    return bytes(line)


def _say_failure(sock: socket.socket, config: RelayConfig, exc: OSError) -> None:
    """Tell the collector why there is no relay; the socket may already be the event loop's."""
    if isinstance(exc, ssl.SSLError) or exc.errno is None:
        cause = getattr(exc, "reason", None) or type(exc).__name__
    else:
        cause = os.strerror(exc.errno)  # its own text may repeat the address
    place = f"{config.listen_host} port {config.listen_port}"
    fields = {"cause": cause, "listen": place, "certificate": config.leaf_file}
    message = encode(
        "log", {"level": "critical", "sentence": "the gateway cannot start", "fields": fields}
    )
    sock.setblocking(True)
    sock.sendall(message)


if __name__ == "__main__":
    sys.exit(main())
