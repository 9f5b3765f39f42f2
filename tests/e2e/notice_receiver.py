"""A receiver of notifications in the cluster's network, and TLS in front of the hub.

Owns the program: it takes POSTs by https and writes each with its time to a file, one JSON line
each; and it relays https for the operator to a hub that speaks http. Started by
`notice_world.py`, in whose process it would not be in that network. Ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import time
from pathlib import Path

from aiohttp import web

RECEIVER_PORT, FRONT_PORT = 18444, 18445  # 18443 is that of the stand-in for a hub


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(pem: Path, hub: str, log: Path) -> None:
    """Serve until the input ends."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    host, _, port = hub.partition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    async def take(request: web.Request) -> web.Response:
        body = await request.text()
        got = {
            "at_ms": time.time_ns() // 1_000_000,
            "path": request.path,
            "headers": dict(request.headers),
            "body": body,
        }
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(got) + "\n")
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/{name}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", RECEIVER_PORT, ssl_context=tls).start()
    front = await asyncio.start_server(relay, "127.0.0.1", FRONT_PORT, ssl=tls)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    front.close()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
