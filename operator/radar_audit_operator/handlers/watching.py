"""Kopf in a thread of its own, with its own event loop.

Owns that thread. Started and stopped by `app` as the Lease comes and goes. Kopf cancels every task
of its loop when it ends and takes the process's signals when it begins; here it has neither ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf

from radar_audit_operator.cluster import Credentials

from .events import registry, settings

Sink = Callable[[str, str | None, dict[str, Any]], None]
_STOP_SECONDS = 5.0  # a Kopf that is cut leaves its connections open
_logger = logging.getLogger(__name__)


class Watching:
    """Kopf's watches of our two kinds."""

    def __init__(self, sink: Sink, credentials: Callable[[], Credentials]) -> None:
        """Watch nothing before `run`; `credentials` is called in Kopf's thread."""
        self._sink, self._credentials = sink, credentials
        self.is_running = False

    async def run(self) -> None:
        """Watch until cancelled. Raises what ended Kopf, so that the guard starts it anew."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def tell(error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(error)

        def sink(plural: str, kind: str | None, raw: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(self._sink, plural, kind, raw)

        life = _Life(registry(sink, self._login))

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(life.live())
            except BaseException as caught:
                error = caught
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, error)

        threading.Thread(target=work, name="kopf", daemon=True).start()
        self.is_running = True
        try:
            error = await asyncio.shield(ended)
        except asyncio.CancelledError:
            for end in (life.stop, life.cut):
                end()
                await asyncio.wait({ended}, timeout=_STOP_SECONDS)
                if ended.done():
                    break
            raise
        finally:
            self.is_running = False
        raise RuntimeError("the watches of our kinds ended") from error

    def _login(self) -> kopf.ConnectionInfo:
        held = self._credentials()
        return kopf.ConnectionInfo(
            server=held.server,
            token=held.token,
            ca_path=held.ca_path,
            certificate_path=held.certificate_path,
            private_key_path=held.private_key_path,
        )


class _Life:
    """One run of Kopf, which another thread may end."""

    def __init__(self, made: kopf.OperatorRegistry) -> None:
        self._registry = made
        self._stop = threading.Event()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None

    async def live(self) -> None:
        made = settings()
        made.process.ultimate_exiting_timeout = None  # it would kill the whole process
        work = kopf.operator(
            registry=self._registry, settings=made, clusterwide=True, stop_flag=self._stop
        )
        self._task = (asyncio.get_running_loop(), asyncio.create_task(work))
        await self._task[1]

    def stop(self) -> None:
        """Have Kopf end by itself, which closes its connections."""
        self._stop.set()

    def cut(self) -> None:
        """Cancel it: while it still begins, it waits for answers that no longer come."""
        if self._task is not None:
            loop, task = self._task
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                loop.call_soon_threadsafe(task.cancel)


class QuietKopf(logging.Filter):
    """Lets Kopf's warnings and errors through, but those that are its normal life here."""

    _NORMAL = (
        "OS signals are ignored",  # it runs in a thread, on purpose
        "Not enough permissions to watch for resources",  # scanning is off, on purpose
    )

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep the record; it never holds an object's body at this level."""
        text = record.getMessage()
        return record.levelno >= logging.WARNING and not text.startswith(self._NORMAL)
