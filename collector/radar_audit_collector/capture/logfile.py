"""The log file source: follows the API server's audit log.

Owns the asynchronous side: polling, and that file access happens off the event
loop. Called by the collector's app, which stores each batch with its checkpoint
before it asks for the next, so a slow disk or a full spool holds the reader
back and nothing piles up in memory. Never writes to the log or its folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from .checkpoint import decode_checkpoint
from .follow import LogFollower
from .record import AuditRecord, Skipped, parse_line

CHECKPOINT_KEY = "checkpoint/logfile"
MAX_LINE_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024


class LogfileSource:
    """Reads one audit log from where `checkpoint` (null: from the beginning) says.

    `poll_seconds` is how often an idle file is looked at; `chunk_bytes` bounds
    what one batch is made of, `max_line_bytes` a line: a longer one is skipped
    and counted.
    """

    def __init__(
        self,
        path: Path | str,
        checkpoint: bytes | None = None,
        *,
        poll_seconds: float = 0.25,
        chunk_bytes: int = CHUNK_BYTES,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self._poll_seconds = poll_seconds
        self._follower = LogFollower(
            Path(path),
            decode_checkpoint(checkpoint),
            lost=checkpoint is not None and decode_checkpoint(checkpoint) is None,
            chunk_bytes=chunk_bytes,
            max_line_bytes=max_line_bytes,
        )

    async def batches(self) -> AsyncGenerator[tuple[list[AuditRecord | Skipped], bytes], None]:
        """Yield records with the checkpoint to store together with them, for ever.

        Ask for the next only when the last is durable. Raises LogfileError if
        the file exists and cannot be read.
        """
        follower = self._follower
        try:
            while True:
                found = await asyncio.to_thread(follower.step)
                if found is None:
                    await asyncio.sleep(self._poll_seconds)
                    continue
                items = [
                    parse_line(item) if isinstance(item, bytes) else item for item in found.items
                ]
                yield items, found.checkpoint
        finally:
            follower.close()
