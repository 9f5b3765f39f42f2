"""Fixtures of the tests of deliveries: an authority, a receiver, a hub that delivers to it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from radar_audit_hub import outbound
from radar_audit_hub.notify import previewing
from radar_audit_hub.notify.sending import attempting

from tests.support.notify_world import NotifyWorld, notify_settings, notify_world
from tests.support.receivers import Receiver, receiver


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a machine that stands still neither for a slow receiver nor for a long search."""
    monkeypatch.setattr(attempting, "SLOW_MS", 600_000)
    monkeypatch.setattr(outbound, "CONNECT_SECONDS", 600.0)
    monkeypatch.setattr(previewing, "_TRIAL_SECONDS", 600.0)
    monkeypatch.setitem(previewing.preview.__kwdefaults__ or {}, "max_seconds", 600.0)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The authority that the hub trusts for receivers."""
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    """A receiver's certificate."""
    return authority.issue_cert("127.0.0.1", "localhost", "hooks.example.com")


@pytest.fixture
def receiver_tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A receiver's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
async def inbox(receiver_tls: ssl.SSLContext) -> AsyncIterator[Receiver]:
    """A receiver that runs."""
    async with receiver(receiver_tls) as running:
        yield running


@pytest.fixture
async def world(
    sqlite_url: str, authority: trustme.CA, tmp_path: Path
) -> AsyncIterator[NotifyWorld]:
    """A hub over SQLite that delivers to this machine."""
    async with notify_world(sqlite_url, notify_settings(authority, tmp_path)) as made:
        yield made


@pytest.fixture
async def any_world(
    database_url: str, authority: trustme.CA, tmp_path: Path
) -> AsyncIterator[NotifyWorld]:
    """The same, once over each kind of database."""
    async with notify_world(database_url, notify_settings(authority, tmp_path)) as made:
        yield made
