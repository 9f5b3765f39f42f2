"""The TLS contexts of the relay: our certificate for Radar, the cluster's CA for the API server.

Owns both and their renewal. Called by `relay`. A changed file is tried on a
context of its own first; a faulty one is reported and the old one stays. Never
replaces a context that connections use, never shows a key's content.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence

Report = Callable[[str, str], None]  # what is wrong, in which file
Protocols = tuple[str, ...]

H2, H1, NONE = "h2", "http/1.1", ""
_PROBE = "probe"


class ServingContext:
    """Our side: the leaf certificate, renewed on the living context.

    Raises OSError or ssl.SSLError when the first certificate cannot be used.
    """

    def __init__(self, leaf_file: str, report: Report) -> None:
        self._leaf_file = leaf_file
        self._report = report
        self._stamp = _stamp(leaf_file)
        self.protocols: Protocols = (H2, H1)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(self.context)
        self.context.num_tickets = 0  # nobody resumes: Radar's connections are few and long
        _load_leaf(self.context, leaf_file)
        self.offer(self.protocols)

    def offer(self, protocols: Protocols) -> None:
        """Offer these protocols to new connections: those that the API server speaks."""
        self.protocols = protocols
        self.context.set_alpn_protocols([name for name in protocols if name])

    def reload_if_changed(self) -> bool:
        """Take a renewed certificate; tell whether it did."""
        stamp = _stamp(self._leaf_file)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            _load_leaf(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self._leaf_file)
            _load_leaf(self.context, self._leaf_file)
        except (OSError, ssl.SSLError):
            self._report("the renewed certificate cannot be used", self._leaf_file)
            return False
        return True


class UpstreamContexts:
    """The other side: one client context for each protocol that is mirrored.

    Raises OSError or ssl.SSLError when the first CA file cannot be used.
    """

    def __init__(self, ca_file: str, report: Report) -> None:
        self._ca_file = ca_file
        self._report = report
        self._stamp = _stamp(ca_file)
        self._contexts = _client_contexts(ca_file)

    def context(self, protocol: str) -> ssl.SSLContext:
        """Return the context that offers exactly this protocol ("" offers none)."""
        return self._contexts[protocol]

    @property
    def probe(self) -> ssl.SSLContext:
        """The context that offers all that can be mirrored."""
        return self._contexts[_PROBE]

    def reload_if_changed(self) -> bool:
        """Take a changed CA for new connections; tell whether it did."""
        stamp = _stamp(self._ca_file)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._contexts = _client_contexts(self._ca_file)
        except (OSError, ssl.SSLError):
            self._report("the API server's new CA cannot be used", self._ca_file)
            return False
        return True


def _client_contexts(ca_file: str) -> dict[str, ssl.SSLContext]:
    offers = {H2: (H2,), H1: (H1,), NONE: (), _PROBE: (H2, H1)}
    return {name: _client_context(ca_file, offered) for name, offered in offers.items()}


def _client_context(ca_file: str, protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.load_verify_locations(cafile=ca_file)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


def _load_leaf(context: ssl.SSLContext, leaf_file: str) -> None:
    # Certificate and key are one file, so that no half of a pair is ever read.
    context.load_cert_chain(leaf_file, password=_no_password)


def _no_password() -> str:
    """Answer OpenSSL, which would otherwise ask on the terminal."""
    return ""


def _stamp(file: str) -> tuple[int, ...]:
    try:
        facts = os.stat(file)  # noqa: PTH116 - follows the links of a projected volume
    except OSError:
        return ()
    return facts.st_mtime_ns, facts.st_ino, facts.st_size
