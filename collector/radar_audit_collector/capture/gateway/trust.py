"""What Radar trusts: keys and certificates, and the folder it takes for its ServiceAccount's.

Owns the running of `authority`, the `ca.crt` that Radar reads, the links to its
token, and their renewal. Called by the collector's app: `prepare` before the
relay starts, `watch` as a task. Never reads the token, never holds a key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from pathlib import Path

from radar_audit_collector.errors import GatewayError

from .settings import GatewaySettings

CA_FILE = "ca.crt"
LINKS = ("token", "namespace")
_AUTHORITY = "radar_audit_collector.capture.gateway.authority"
_AUTHORITY_SECONDS = 60.0
_RENEW_AT = 2 / 3
_RETRY_SECONDS = 60.0

_logger = logging.getLogger(__name__)


class Trust:
    """Keys, certificates and Radar's account folder; `leaf_ends` is in Unix seconds."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Nothing is read or written before `prepare`."""
        self._settings = settings
        self._real_ca = b""
        self._renew_at = 0.0
        self.leaf_ends = 0.0

    async def prepare(self) -> None:
        """Make keys and the account folder. Raises GatewayError that says what is wrong."""
        settings = self._settings
        for folder in (settings.keys_dir, settings.account_dir):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise GatewayError(
                    f"the gateway's folder {folder} cannot be made: {exc.strerror}"
                ) from exc
        await self._renew()
        self._write_account(self._read_real_ca())

    async def watch(self) -> None:
        """Renew the leaf in time and follow the API server's CA, for ever."""
        while True:
            await asyncio.sleep(self._settings.watch_files_seconds)
            try:
                await self.refresh()
            except GatewayError as exc:
                _logger.warning("the gateway's trust is not renewed", extra={"cause": str(exc)})
                self._renew_at = max(self._renew_at, time.time() + _RETRY_SECONDS)

    async def refresh(self) -> None:
        """Renew what is due. Raises GatewayError; what was there stays."""
        real_ca = self._read_real_ca()
        if real_ca != self._real_ca:
            self._write_account(real_ca)
            _logger.info("the gateway hands on the API server's new CA")
        if time.time() >= self._renew_at:
            await self._renew()
            _logger.info("the gateway's certificate is renewed")

    async def _renew(self) -> None:
        settings = self._settings
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _AUTHORITY,
            str(settings.keys_dir),
            str(settings.leaf_seconds),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a trace of the crypto library helps nobody
            env=small_environment(),
        )
        try:
            async with asyncio.timeout(_AUTHORITY_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            output = b""
        if not output.strip().isdigit():
            raise GatewayError(
                f"the gateway's keys could not be made in {settings.keys_dir}; the folder must be "
                "writable and have room for a few KiB"
            )
        now = time.time()
        self.leaf_ends = float(output)
        self._renew_at = now + (self.leaf_ends - now) * _RENEW_AT

    def _read_real_ca(self) -> bytes:
        file = self._settings.upstream_ca_file
        try:
            content = file.read_bytes()
        except OSError as exc:
            raise GatewayError(
                f"the API server's CA {file} cannot be read: {exc.strerror}"
            ) from exc
        if b"-----BEGIN CERTIFICATE-----" not in content:
            raise GatewayError(f"the API server's CA {file} holds no certificate in PEM")
        return content

    def _write_account(self, real_ca: bytes) -> None:
        """Write ours and the real CA, so that removing Radar's variables alone is a way back."""
        settings = self._settings
        try:
            own = (settings.keys_dir / CA_FILE).read_bytes()
            bundle = own.rstrip(b"\n") + b"\n" + real_ca
            _replace(settings.account_dir / CA_FILE, bundle)
            for name in LINKS:
                _link(settings.account_dir / name, settings.token_dir / name)
        except OSError as exc:
            raise GatewayError(
                f"Radar's account folder {settings.account_dir} cannot be written: {exc.strerror}"
            ) from exc
        self._real_ca = real_ca


def small_environment() -> dict[str, str]:
    """Return the variables that the gateway's own processes get: none with a secret in it."""
    kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHASHSEED", "TZ")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.chmod(0o644)  # Radar runs as another user
    draft.replace(path)


def _link(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(path)
