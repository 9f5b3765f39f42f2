"""Runs a real collector as a process of its own, to be asked, stopped and killed.

Owns the process, its log lines and its probes. Called by tests that need what
only a process has: signals, a death at any moment, a restart on the same data.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

PREFIX = "RADAR_AUDIT_COLLECTOR_"
_STARTED = "the collector runs"


class CollectorProcess:
    """One collector on `data_dir`; `settings` are fields of CollectorSettings, in any type.

    Start it again after a kill: it goes on with the same data.
    """

    def __init__(self, data_dir: Path, hub_url: str, **settings: object) -> None:
        self.lines: list[dict[str, Any]] = []
        self.output = ""
        self._settings = {
            "HUB_URL": hub_url,
            "TOKEN": "rhc_test",
            "DATA_DIR": data_dir,
            "PROBES_LISTEN": "127.0.0.1:0",
            "LOG_LEVEL": "debug",
            "RETRY_MAX_SECONDS": 0.2,
            "BATCH_LINGER_SECONDS": 0,
            **{name.upper(): value for name, value in settings.items()},
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._running = asyncio.Event()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process and return when it runs or has ended."""
        await self.launch()
        waiting = asyncio.create_task(self._running.wait())
        assert self._reading is not None
        await asyncio.wait({waiting, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def launch(self) -> None:
        """Start the process and return at once, so that it can be killed while it starts."""
        self._running.clear()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "radar_audit_collector", "run"),
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(PREFIX)},
                **{f"{PREFIX}{name}": str(value) for name, value in self._settings.items()},
            },
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for raw in process.stderr:
            text = raw.decode(errors="replace")
            self.output += text
            with suppress(ValueError):
                line = json.loads(text)
                self.lines.append(line)
                if line.get("message") == _STARTED:
                    self._running.set()

    async def kill(self) -> None:
        """End it as the kernel does when memory is short: kill -9."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """Ask it to end (SIGTERM) and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def wait(self) -> int:
        """Return its exit code once it has ended by itself."""
        assert self._process is not None
        assert self._reading is not None
        await self._reading
        return await self._process.wait()

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await self.wait()

    def said(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines with this message, oldest first."""
        return [line for line in self.lines if line.get("message") == message]

    @property
    def webhook_url(self) -> str:
        """Where the webhook sink of the last start listens (plain HTTP)."""
        return f"http://127.0.0.1:{self.said(_STARTED)[-1]['webhook_port']}/audit"

    @property
    def probes_port(self) -> int:
        """Where the probes and metrics of the last start listen."""
        return int(self.said(_STARTED)[-1]["probes_port"])

    async def ready(self) -> str:
        """Return what /readyz says: `ok`, or the names of the failing checks."""
        return (await self._probe("readyz")).strip()

    async def metric(self, name: str) -> float:
        """Return a sample of /metrics by its full text, such as `x_total{reason="y"}`."""
        for line in (await self._probe("metrics")).splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    async def _probe(self, path: str) -> str:
        port = self.probes_port
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/{path}") as response,
        ):
            return await response.text()
