"""The webhook sink takes batches from whom it should, keeps them first, and stays bounded."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import trustme
from prometheus_client import CollectorRegistry
from radar_audit_collector.capture.record import AuditRecord, Skipped
from radar_audit_collector.capture.tls import ServerTls
from radar_audit_collector.capture.webhook import WebhookLimits, WebhookSource
from radar_audit_collector.classify import ClassifyRules
from radar_audit_collector.errors import SpoolUnavailableError, WebhookError
from radar_audit_collector.intake import Intake
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool

from tests.support.audit_lines import ARGV_SECRET, audit_line, event_list

MIB = 1024 * 1024
TOKEN = "a-secret-of-the-api-server"
WIDE = WebhookLimits(max_body_bytes=32 * MIB, max_inflight_bytes=64 * MIB)
BATCH = event_list([audit_line(), audit_line(stage="ResponseComplete", after=1.5)])


@dataclass
class Sink:
    """A listening sink, what it accepted, and a client that speaks to it."""

    source: WebhookSource
    client: aiohttp.ClientSession
    url: str
    accepted: list[AuditRecord | Skipped]
    answers: list[int]

    async def post(
        self, body: object = BATCH, path: str = "/audit", token: str | None = TOKEN, **headers: str
    ) -> tuple[int, dict[str, object], dict[str, str]]:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.client.post(self.url + path, data=body, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else {}, dict(response.headers)


@asynccontextmanager
async def sink(
    limits: WebhookLimits = WIDE,
    token: str | None = TOKEN,
    tls: ServerTls | None = None,
    context: ssl.SSLContext | None = None,
    failing: bool = False,
    gate: asyncio.Event | None = None,
) -> AsyncIterator[Sink]:
    accepted: list[AuditRecord | Skipped] = []
    answers: list[int] = []

    async def accept(records: Sequence[AuditRecord | Skipped]) -> None:
        if gate is not None:
            await gate.wait()
        if failing:
            raise SpoolUnavailableError("full")
        accepted.extend(records)

    source = WebhookSource(accept, limits, tls=tls, token=token, on_answer=answers.append)
    port = await source.start("127.0.0.1", 0)
    scheme = "http" if tls is None else "https"
    connector = aiohttp.TCPConnector(ssl=True if context is None else context, force_close=True)
    try:
        async with aiohttp.ClientSession(connector=connector) as client:
            yield Sink(source, client, f"{scheme}://localhost:{port}", accepted, answers)
    finally:
        await source.stop()


@dataclass
class Certificates:
    ca: trustme.CA
    folder: Path

    @property
    def cert(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def issue(self, ca: trustme.CA | None = None, not_after: datetime | None = None) -> None:
        leaf = (ca or self.ca).issue_cert("localhost", not_after=not_after)
        _replace(self.cert, b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        _replace(self.key, leaf.private_key_pem.bytes())

    def client_context(self, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if client is not None:
            client.configure_cert(context)
        return context


def _replace(file: Path, content: bytes) -> None:
    """Put another file in its place, as a renewal does: time alone is too coarse to tell two."""
    draft = file.with_suffix(".new")
    draft.write_bytes(content)
    draft.replace(file)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    made = Certificates(trustme.CA(), tmp_path)
    made.issue()
    return made


async def test_batch_is_accepted_item_by_item() -> None:
    async with sink() as it:
        status, _, _ = await it.post(path="/audit?timeout=30s")
        assert status == 200
        assert [type(r) for r in it.accepted] == [AuditRecord, AuditRecord]
        assert it.answers == [200]


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "ü"])
async def test_wrong_bearer_token_is_refused_before_the_body(token: str | None) -> None:
    async with sink() as it:
        status, problem, headers = await it.post(token=token)
        assert status == 401
        assert "token" in str(problem["detail"])
        assert headers["WWW-Authenticate"] == "Bearer"
        assert it.accepted == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"kind":"Event"}',
        b'{"kind":"EventList","items":5}',
        b"\xff" * 100,
        b"[" * 100_000,
        b'{"kind":"EventList","items":[' * 10_000,
    ],
)
async def test_body_that_is_no_event_list_gets_400_with_a_sentence(body: bytes) -> None:
    async with sink() as it:
        status, problem, _ = await it.post(body)
        assert status == 400
        assert "EventList" in str(problem["detail"])
        assert it.accepted == []


async def test_other_paths_and_methods_are_answered_with_sentences() -> None:
    async with sink() as it:
        status, problem, _ = await it.post(path="/")
        assert (status, problem["detail"]) == (404, "audit batches go to /audit")
        async with it.client.get(
            it.url + "/audit", headers={"Authorization": f"Bearer {TOKEN}"}
        ) as response:
            assert response.status == 405
            assert response.headers["Allow"] == "POST"
            assert "POST" in (await response.json(content_type=None))["detail"]
        status, _, _ = await it.post(**{"Content-Encoding": "br"})
        assert status == 415


async def test_gzip_body_is_accepted() -> None:
    async with sink() as it:
        status, _, _ = await it.post(gzip.compress(BATCH), **{"Content-Encoding": "gzip"})
        assert status == 200
        assert len(it.accepted) == 2


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(BATCH)[:-9], zlib.compress(BATCH), b""], ids=len
)
async def test_broken_gzip_gets_400(body: bytes) -> None:
    async with sink() as it:
        status, _, _ = await it.post(body, **{"Content-Encoding": "gzip"})
        assert status == 400
        assert it.accepted == []


async def test_body_over_the_limit_gets_413() -> None:
    limits = WebhookLimits(max_body_bytes=MIB, max_inflight_bytes=64 * MIB)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    async with sink(limits) as it:
        status, problem, _ = await it.post(io.BytesIO(b" " * (MIB + 1)))
        assert status == 413
        assert str(MIB) in str(problem["detail"])
        status, _, _ = await it.post(chunks())
        assert status == 413


async def test_bomb_of_gzip_is_refused_before_it_unfolds() -> None:
    bomb = gzip.compress(b" " * (64 * MIB), compresslevel=1)
    limits = WebhookLimits(max_body_bytes=MIB, max_inflight_bytes=64 * MIB)
    async with sink(limits) as it:
        tracemalloc.start()
        try:
            status, _, _ = await it.post(bomb, **{"Content-Encoding": "gzip"})
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert status == 413
        assert peak_bytes < 8 * MIB


async def test_full_spool_is_answered_with_429_and_a_time_to_come_back() -> None:
    async with sink(failing=True) as it:
        status, problem, headers = await it.post()
        assert status == 429
        assert int(headers["Retry-After"]) > 0
        assert "again" in str(problem["detail"])


async def test_bytes_in_hand_are_bounded_over_all_requests() -> None:
    gate = asyncio.Event()
    padded = BATCH + b" " * (600 * 1024)
    limits = WebhookLimits(max_body_bytes=MIB, max_inflight_bytes=MIB)
    async with sink(limits, gate=gate) as it:
        first = asyncio.create_task(it.post(padded))
        while it.source._inflight_bytes == 0:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
        status, _, headers = await it.post(padded)
        assert (status, "Retry-After" in headers) == (429, True)
        gate.set()
        assert (await first)[0] == 200
        assert it.source._inflight_bytes == 0
        assert (await it.post(padded))[0] == 200


async def test_tls_with_token_works_and_plain_http_does_not(certificates: Certificates) -> None:
    tls = ServerTls(certificates.cert, certificates.key, None, demand=False)
    async with sink(tls=tls, context=certificates.client_context()) as it:
        assert (await it.post())[0] == 200
        with pytest.raises(aiohttp.ClientError):
            await it.client.post(it.url.replace("https", "http") + "/audit", data=BATCH)


async def test_client_certificate_of_the_right_ca_replaces_the_token(
    certificates: Certificates, tmp_path: Path
) -> None:
    clients, strangers = trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    tls = ServerTls(certificates.cert, certificates.key, tmp_path / "clients.pem", demand=True)
    right = certificates.client_context(clients.issue_cert("apiserver"))
    wrong = certificates.client_context(strangers.issue_cert("apiserver"))
    async with sink(tls=tls, token=None, context=right) as it:
        assert (await it.post(token=None))[0] == 200
    for context in (wrong, certificates.client_context()):
        async with sink(tls=tls, token=None, context=context) as it:
            with pytest.raises(aiohttp.ClientError):
                await it.post(token=None)
            assert it.accepted == []


async def test_either_credential_is_enough_where_both_are_allowed(
    certificates: Certificates, tmp_path: Path
) -> None:
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    tls = ServerTls(certificates.cert, certificates.key, tmp_path / "clients.pem", demand=False)
    with_cert = certificates.client_context(clients.issue_cert("apiserver"))
    async with sink(tls=tls, context=with_cert) as it:
        assert (await it.post(token=None))[0] == 200
    async with sink(tls=tls, context=certificates.client_context()) as it:
        assert (await it.post())[0] == 200
        assert (await it.post(token=None))[0] == 401


async def test_renewed_certificate_is_used_without_a_restart(certificates: Certificates) -> None:
    tls = ServerTls(certificates.cert, certificates.key, None, demand=False)
    renewed = trustme.CA()
    context = ssl.create_default_context()
    renewed.configure_trust(context)
    async with sink(tls=tls, context=context) as it:
        with pytest.raises(aiohttp.ClientError):
            await it.post()
        assert not tls.reload_if_changed()
        certificates.issue(renewed)
        assert tls.reload_if_changed()
        assert (await it.post())[0] == 200


def test_end_of_the_certificate_in_use_is_known(certificates: Certificates) -> None:
    soon, later = (datetime.now(UTC).replace(microsecond=0) + timedelta(days=n) for n in (2, 90))
    certificates.issue(not_after=soon)
    tls = ServerTls(certificates.cert, certificates.key, None, demand=False)
    assert tls.ends == soon.timestamp()
    certificates.issue(not_after=later)
    assert tls.reload_if_changed()
    assert tls.ends == later.timestamp()


async def test_broken_renewal_leaves_the_old_certificate_in_use(
    certificates: Certificates,
) -> None:
    tls = ServerTls(certificates.cert, certificates.key, None, demand=False)
    async with sink(tls=tls, context=certificates.client_context()) as it:
        certificates.key.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())
        assert not tls.reload_if_changed()
        assert (await it.post())[0] == 200
        certificates.cert.unlink()
        assert not tls.reload_if_changed()
        assert (await it.post())[0] == 200


def test_missing_or_unfit_certificate_is_named(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(WebhookError, match=r"nowhere\.pem"):
        ServerTls(tmp_path / "nowhere.pem", certificates.key, None, demand=False)
    (tmp_path / "bad.pem").write_text("no PEM")
    with pytest.raises(WebhookError, match=r"bad\.pem"):
        ServerTls(certificates.cert, tmp_path / "bad.pem", None, demand=False)
    with pytest.raises(WebhookError, match=r"client CA .*bad\.pem"):
        ServerTls(certificates.cert, certificates.key, tmp_path / "bad.pem", demand=True)


async def test_taken_port_is_named() -> None:
    async with sink() as it:
        port = int(it.url.rsplit(":", 1)[1])
        other = WebhookSource(it.source._accept, WIDE, tls=None, token=None, on_answer=print)
        with pytest.raises(WebhookError, match=str(port)):
            await other.start("127.0.0.1", port)


async def test_no_part_of_a_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with sink() as it:
        await it.post(BATCH)
        await it.post(BATCH[:-5])
        await it.post(BATCH, token="wrong-" + ARGV_SECRET)
        await it.post(BATCH, path=f"/other?command={ARGV_SECRET}")
        port = int(it.url.rsplit(":", 1)[1])
        for junk in (f"\x16\x03{ARGV_SECRET}\r\n\r\n", f"POST /audit {ARGV_SECRET}\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(junk.encode())
            await writer.drain()
            await reader.read()
            writer.close()
            await writer.wait_closed()
    for record in caplog.records:
        if record.name.startswith("radar_audit"):
            assert ARGV_SECRET not in str(record.__dict__)
    assert ARGV_SECRET not in caplog.text


async def test_batch_is_in_the_spool_when_it_is_answered_and_doubles_are_not(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path / "spool", 64 * MIB)
    await spool.open()
    intake = Intake(spool, Metrics(CollectorRegistry()), ClassifyRules("radar/radar", "org_x"))

    async def accept(records: Sequence[AuditRecord | Skipped]) -> None:
        await intake.accept(records, "webhook")

    source = WebhookSource(accept, WIDE, tls=None, token=None, on_answer=lambda _: None)
    port = await source.start("127.0.0.1", 0)
    lines = [
        audit_line(audit_id=f"id-{n}", stage=stage, after=after)
        for n in range(200)
        for stage, after in (("ResponseStarted", 0.01), ("ResponseComplete", 2.0))
    ]
    async with aiohttp.ClientSession() as client:
        for batch in (lines, lines[::-1], lines[:17]):
            async with client.post(
                f"http://127.0.0.1:{port}/audit", data=event_list(batch)
            ) as response:
                assert response.status == 200
            assert spool.stats.events == 400
    await source.stop()
    await spool.close()
