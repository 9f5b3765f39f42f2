"""The webhook sink's side of TLS: certificate, key, client CA, and their renewal.

Owns the server's SSL context. Called by the collector's app, which runs `watch`
as a task. Never shows a key's content, and never takes a pair that does not fit
together: then the old one stays.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from radar_audit_collector.errors import WebhookError

from .certificate_end import end_of

WATCH_SECONDS = 5.0

_logger = logging.getLogger(__name__)


class ServerTls:
    """TLS of a listener; new connections see a renewed certificate without a restart.

    `client_ca` null asks for no client certificate; `demand` refuses connections
    without one. A changed client CA needs a restart. `ends` is when the certificate
    in use does, in Unix seconds. Raises WebhookError when a
    file is missing or wrong.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None, *, demand: bool) -> None:
        self.asks_for_client_certificate = client_ca is not None
        self.ends = 0.0
        self._cert, self._key = cert, key
        self.context = _context()
        self._stamp = self._read_stamp()
        self._load(self.context)
        self.ends = self._read_end()
        if client_ca is not None:
            try:
                self.context.load_verify_locations(cafile=client_ca)
            except (OSError, ssl.SSLError) as exc:
                raise WebhookError(
                    f"the client CA {client_ca} cannot be used: {_cause(exc)}"
                ) from None
            self.context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL

    async def watch(self) -> None:
        """Look for renewed files for ever."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.reload_if_changed()

    def reload_if_changed(self) -> bool:
        """Take renewed files; tell whether it did. Faulty ones are logged and left alone."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._load(_context())  # a trial: half a pair must not get into the live context
            self._load(self.context)
            self.ends = self._read_end()
        except WebhookError as exc:
            _logger.warning("the renewed certificate is not used", extra={"cause": str(exc)})
            return False
        _logger.info("the webhook sink uses a renewed certificate")
        return True

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as exc:
            raise WebhookError(
                f"the certificate {self._cert} with the key {self._key} cannot be used: "
                f"{_cause(exc)}"
            ) from None

    def _read_end(self) -> float:
        """Return when the certificate ends; OpenSSL has taken it already."""
        try:
            return end_of(self._cert.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise WebhookError(f"the certificate {self._cert} cannot be read: {exc}") from None

    def _read_stamp(self) -> tuple[int, ...]:
        stamp: list[int] = []
        for file in (self._cert, self._key):
            try:
                facts = file.stat()
            except OSError:
                stamp += [0, 0]
            else:
                stamp += [facts.st_mtime_ns, facts.st_ino]
        return tuple(stamp)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _no_password() -> str:
    """Answer OpenSSL, which would otherwise ask on the terminal."""
    return ""


def _cause(exc: OSError | ValueError) -> str:
    if isinstance(exc, ssl.SSLError):
        return exc.reason or "it is no PEM, or the pair does not fit"
    return getattr(exc, "strerror", None) or "it is no PEM"
