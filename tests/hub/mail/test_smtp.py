"""Mail leaves by a real SMTP server, encrypted, once accepted for good, and never with a leak."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from radar_audit_hub.mail.job import put_mail
from radar_audit_hub.mail.messages import Mail
from radar_audit_hub.settings_mail import SmtpSettings
from radar_audit_hub.store.schema_outbox import outbox
from sqlalchemy import select

from tests.support.hub_builder import HubUnderTest, sqlite_hub
from tests.support.mail_server import MailServer, mail_server
from tests.support.membership import deliver_all, org_path

PASSWORD = "hunter2-secret"
MAIL = Mail(to="bob@acme.com", subject="Grüße", text="Hallo ✓\n", html="<p>Hallo ✓</p>")


@dataclass
class World:
    """A hub and the mail server that it is set to."""

    hub: HubUnderTest
    server: MailServer

    async def put(self, mail: Mail = MAIL) -> None:
        async with self.hub.hub.db.write() as conn:
            await put_mail(conn, mail, dedup_key="a", now_ms=self.hub.clock.now_ms)

    async def row(self) -> Any:
        async with self.hub.hub.db.read() as conn:
            return (await conn.execute(select(outbox))).one()


def _logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return all that the hub and its libraries logged; the server's part is the test's own."""
    found = [record.__dict__ for record in caplog.records if record.name != "mail.log"]
    assert any(record["name"].startswith("radar_audit_hub") for record in found)
    return str([record for record in found if record["name"] != "aiosqlite"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(params=["starttls", "tls"])
async def world(
    request: pytest.FixtureRequest,
    template: Path,
    tmp_path: Path,
    authority: trustme.CA,
    server_tls: ssl.SSLContext,
) -> AsyncIterator[World]:
    """A hub that logs in to a server, once for each kind of encryption."""
    trust = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trust)
    async with mail_server(**{request.param: server_tls}, password=PASSWORD) as server:
        smtp = SmtpSettings(
            host="127.0.0.1",
            port=server.port,
            security=request.param,
            username="hub",
            password=PASSWORD,
            sender="audit@acme.com",
            ca_file=trust,
            timeout_seconds=60,
        )
        async with sqlite_hub(template, tmp_path, smtp=smtp) as hub:
            yield World(hub, server)


@pytest.fixture
async def plain(template: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A hub whose server is on this machine, without encryption and log-in."""
    async with mail_server() as server:
        smtp = SmtpSettings(host="127.0.0.1", port=server.port, security="none", timeout_seconds=60)
        async with sqlite_hub(template, tmp_path, smtp=smtp) as hub:
            yield World(hub, server)


async def test_mail_arrives_encrypted_with_both_parts(world: World) -> None:
    await world.put()
    await deliver_all(world.hub)
    [mail] = world.server.mails
    assert (await world.row()).outcome == "done"
    assert world.server.encrypted == [True]
    assert world.server.recipients == [["bob@acme.com"]]
    assert (mail["To"], mail["From"]) == ("bob@acme.com", "Radar Audit <audit@acme.com>")
    assert mail["Subject"] == "Grüße"
    assert mail["Message-ID"] == f"<{(await world.row()).id}@acme.com>"
    parts = {part.get_content_type(): part.get_content() for part in mail.iter_parts()}
    assert parts["text/plain"].strip() == "Hallo ✓"
    assert parts["text/html"].strip() == "<p>Hallo ✓</p>"


async def test_invitation_is_mailed_with_its_link(world: World) -> None:
    body = {"email": "bob@acme.com", "role": "auditor"}
    await world.hub.send("POST", org_path("invitations"), json=body)
    await deliver_all(world.hub)
    [mail] = world.server.mails
    text = mail.get_body(("plain",))
    assert text is not None
    assert "http://127.0.0.1:8080/invitations/accept#token=rhi_" in text.get_content()


async def test_server_with_an_untrusted_certificate_gets_nothing(
    template: Path, tmp_path: Path, server_tls: ssl.SSLContext
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    async with mail_server(starttls=server_tls) as server:
        smtp = SmtpSettings(host="127.0.0.1", port=server.port, ca_file=other, timeout_seconds=60)
        async with sqlite_hub(template, tmp_path, smtp=smtp) as hub:
            world = World(hub, server)
            await world.put()
            await deliver_all(hub)
            row = await world.row()
    assert (server.mails, row.outcome, row.done_at) == ([], None, None)


async def test_server_without_encryption_gets_neither_mail_nor_password(
    template: Path, tmp_path: Path
) -> None:
    async with mail_server() as server:
        smtp = SmtpSettings(
            host="127.0.0.1",
            port=server.port,
            username="hub",
            password=PASSWORD,
            timeout_seconds=60,
        )
        async with sqlite_hub(template, tmp_path, smtp=smtp) as hub:
            world = World(hub, server)
            await world.put()
            await deliver_all(hub)
            assert (await world.row()).outcome is None
    assert server.mails == []


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [("550 no such user bob@acme.com", "given_up"), ("451 busy, bob@acme.com", None)],
)
async def test_refusal_is_final_or_tried_again_by_its_kind_and_repeats_no_address(
    plain: World, reply: str, outcome: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    plain.server.replies.append(reply)
    await plain.put()
    with caplog.at_level(logging.INFO):
        await deliver_all(plain.hub)
    row = await plain.row()
    assert (row.outcome, row.last_error) == (outcome, f"the mail server answered {reply[:3]}")
    assert "bob@" not in _logged(caplog)
    if outcome is None:
        plain.hub.clock.now_ms = row.due_at
        await deliver_all(plain.hub)
        assert (await plain.row()).outcome == "done"
        assert len(plain.server.mails) == 1


async def test_refusal_of_the_sender_is_tried_again(plain: World) -> None:
    plain.server.refuses_sender = True
    await plain.put()
    await deliver_all(plain.hub)
    row = await plain.row()
    assert (row.outcome, row.last_error) == (
        None,
        "the mail server answered 550 to the sender's address",
    )
    plain.server.refuses_sender, plain.hub.clock.now_ms = False, row.due_at
    await deliver_all(plain.hub)
    assert (await plain.row()).outcome == "done"


async def test_wrong_password_is_tried_again_and_never_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    smtp = world.hub.hub.settings.smtp
    object.__setattr__(smtp, "password", "wrong-" + PASSWORD)
    await world.put()
    with caplog.at_level(logging.DEBUG):
        await deliver_all(world.hub)
    row = await world.row()
    assert (row.outcome, row.last_error) == (None, "the mail server answered 535")
    assert PASSWORD not in _logged(caplog)


async def test_server_that_is_away_is_tried_again(template: Path, tmp_path: Path) -> None:
    async with mail_server() as server:
        port = server.port
    smtp = SmtpSettings(host="127.0.0.1", port=port, security="none", timeout_seconds=60)
    async with sqlite_hub(template, tmp_path, smtp=smtp) as hub:
        world = World(hub, server)
        await world.put()
        await deliver_all(hub)
        row = await world.row()
    assert row.outcome is None
    assert row.last_error.startswith("the mail server cannot be reached")


async def test_mail_without_a_server_is_printed(
    hub: HubUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    async with hub.hub.db.write() as conn:
        await put_mail(conn, MAIL, dedup_key="a", now_ms=hub.clock.now_ms)
        assert not await put_mail(conn, MAIL, dedup_key="a", now_ms=hub.clock.now_ms)
    await deliver_all(hub)
    [line] = capsys.readouterr().err.splitlines()
    assert '"to": "bob@acme.com"' in line
    assert "Hallo ✓" in line
