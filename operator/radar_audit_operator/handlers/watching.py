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
_STOP_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class Watching:
    """Kopf's watches of our two kinds."""

    def __init__(self, sink: Sink, credentials: Callable[[], Credentials]) -> None:
        """Watch nothing before `run`; `credentials` is called in Kopf's thread."""
        self._sink, self._credentials = sink, credentials
        self.is_running = False

    async def run(self) -> None:
        """Watch until cancelled. Raises what ended Kopf, so that the guard starts it anew."""
        loop, stop = asyncio.get_running_loop(), threading.Event()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def tell(error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(error)

        def sink(plural: str, kind: str | None, raw: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(self._sink, plural, kind, raw)

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._operate(sink, stop))
            except BaseException as caught:
                error = caught
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, error)

        thread = threading.Thread(target=work, name="kopf", daemon=True)
        thread.start()
        self.is_running = True
        try:
            error = await asyncio.shield(ended)
        except asyncio.CancelledError:
            stop.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await asyncio.shield(ended)
            raise
        finally:
            self.is_running = False
        raise RuntimeError("the watches of our kinds ended") from error

    async def _operate(self, sink: Sink, stop: threading.Event) -> None:
        made = settings()
        made.process.ultimate_exiting_timeout = None  # it would kill the process
        await kopf.operator(
            registry=registry(sink, self._login),
            settings=made,
            clusterwide=True,
            stop_flag=stop,
        )

    def _login(self) -> kopf.ConnectionInfo:
        held = self._credentials()
        return kopf.ConnectionInfo(
            server=held.server,
            token=held.token,
            ca_path=held.ca_path,
            certificate_path=held.certificate_path,
            private_key_path=held.private_key_path,
        )


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
