"""A log that rotates, and a reader that can be restarted at any step.

Owns how the tests imitate the API server's rotation. Called by the collector's
tests only.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from radar_audit_collector.capture.checkpoint import decode_checkpoint
from radar_audit_collector.capture.follow import LogFollower
from radar_audit_collector.capture.record import Skipped

from tests.support.audit_lines import audit_line


class RotatingLog:
    """Writes a log and rotates it as lumberjack does; line n has the audit id `id-n`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.log"
        self.written = 0
        self.rotations = 0

    def write(self, count: int = 1, end: bytes = b"\n") -> None:
        """Append lines, each followed by `end`."""
        with self.path.open("ab") as file:
            for _ in range(count):
                file.write(audit_line(f"id-{self.written}") + end)
                self.written += 1

    def rotate(self, *, compress: bool = False) -> Path:
        """Put the file aside under a stamped name, begin a new one, return where the old one is."""
        self.rotations += 1
        name = f"audit-2026-11-24T03-10-{self.rotations:02d}.000.log"
        aside = self.path.rename(self.path.with_name(name))
        self.path.touch()
        return self.compress(aside) if compress else aside

    def compress(self, aside: Path) -> Path:
        """Replace a file by its archive and return that."""
        archive = aside.with_name(aside.name + ".gz")
        archive.write_bytes(gzip.compress(aside.read_bytes()))
        aside.unlink()
        return archive


class Reader:
    """Steps through a log and keeps what a collector would have made durable."""

    def __init__(
        self, path: Path, checkpoint: bytes | None = None, chunk_bytes: int = 4096
    ) -> None:
        self.seen: list[str] = []
        self.checkpoint = checkpoint
        self._path, self._chunk_bytes = path, chunk_bytes
        self._follower = self._open()

    def _open(self) -> LogFollower:
        return LogFollower(
            self._path,
            decode_checkpoint(self.checkpoint),
            chunk_bytes=self._chunk_bytes,
            max_line_bytes=8192,
        )

    def step(self) -> bool:
        """Read one chunk and make it durable; false if there was nothing."""
        found = self._follower.step()
        if found is None:
            return False
        for item in found.items:
            if isinstance(item, Skipped):
                self.seen.append(item.reason)
            elif item is not None:
                self.seen.append(item.partition(b'"auditID":"')[2].partition(b'"')[0].decode())
        self.checkpoint = found.checkpoint
        return True

    def drain(self) -> list[str]:
        """Read until there is nothing more; a second look follows a rename."""
        while self.step() or self.step():
            pass
        return self.seen

    def restart(self, *, lose_step: bool = False) -> None:
        """Begin anew from the durable checkpoint, after a step that was not stored if asked."""
        if lose_step:
            self._follower.step()
        self._follower.close()
        self._follower = self._open()

    def close(self) -> None:
        """Close the file."""
        self._follower.close()
