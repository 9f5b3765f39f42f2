"""Runs a real hub as a process of its own, to be asked, stopped, killed and started again.

Owns the process, its log lines and its addresses. Called by tests that need what only a process
has: signals, a death at any moment, a restart on the same data.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

PREFIX = "RADAR_AUDIT_HUB_"
PROGRAM = str(Path(sys.executable).with_name("radar-audit-hub"))
_SERVING = "the hub is serving"
_START_SECONDS = 100  # on a busy machine


class HubProcess:
    """One hub; `settings` are fields of HubSettings, in any type (`data_dir`, `database_url` …).

    It takes two free ports at its first start and keeps them, also while it is dead. As a context
    it is killed at the end if it still runs.
    """

    def __init__(self, **settings: object) -> None:
        self.lines: list[dict[str, Any]] = []
        self.output = ""
        self.port = self.probes_port = 0
        self._settings = {"LOG_LEVEL": "debug", "DRAIN_SECONDS": 2} | {
            name.upper(): value for name, value in settings.items()
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._serving = asyncio.Event()
        self._places: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.kill()
        while self._places:
            self._places.pop().close()

    @property
    def url(self) -> str:
        """Where the API is served."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process and return once it serves; it must not end before."""
        await self.launch()
        assert self._reading is not None
        waiting = asyncio.create_task(self._serving.wait())
        await asyncio.wait(
            {waiting, self._reading}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        assert self._serving.is_set(), f"the hub did not start: {self.output}"

    async def launch(self) -> None:
        """Start the process and return at once, so that it can be killed while it starts."""
        self._keep_ports()
        self._serving.clear()
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, "serve", env=self._environment(), stderr=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone; harmless when it is not running."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to end (SIGTERM) and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run another command of the program on the same database: code, output, errors."""
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *arguments,
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def probe(self, path: str) -> tuple[int, str]:
        """GET a path of the probe server."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.probes_port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    def _keep_ports(self) -> None:
        """Hold two ports: one that is bound, and not listened on, is given to none who takes any.

        The hub may listen there nevertheless, since it names the port.
        """
        if self._places:
            return
        for _ in range(2):
            place = socket.socket()
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(("127.0.0.1", 0))
            self._places.append(place)
        self.port, self.probes_port = (place.getsockname()[1] for place in self._places)

    def _environment(self) -> dict[str, str]:
        ports = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "PROBES_LISTEN": f"127.0.0.1:{self.probes_port}",
        }
        return {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)} | {
            f"{PREFIX}{name}": str(value) for name, value in (ports | self._settings).items()
        }

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None or self._reading is None:
            return 0
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        code = await self._process.wait()
        await self._reading
        return code

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while raw := await process.stderr.readline():
            self.output += raw.decode()
            with suppress(json.JSONDecodeError):
                line = json.loads(raw)
                self.lines.append(line)
                if line["message"] == _SERVING:
                    self.port, self.probes_port = line["port"], line["probes_port"]
                    self._serving.set()
