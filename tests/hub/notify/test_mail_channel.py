"""Notifications by mail reach a real SMTP server, once accepted for good, with both parts."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from radar_audit_events.policy_wire import Destination, EmailTarget
from radar_audit_hub.settings_mail import SmtpSettings

from tests.support.mail_server import MailServer, mail_server
from tests.support.notify_world import NotifyWorld, notify_settings, notify_world
from tests.support.policy_agents import operator

TO = ["ops@acme.com", "sec@acme.com"]


@dataclass
class MailWorld:
    """A hub and the mail server that it is set to."""

    world: NotifyWorld
    server: MailServer

    async def send(self) -> str:
        """Put a message for the addresses and try it once."""
        target = Destination(name="ops", email=EmailTarget(to=TO))
        await self.world.set_destinations([target])
        (message_id,) = await self.world.put("ops")
        await self.world.deliver()
        return message_id


@pytest.fixture
async def mail(
    sqlite_url: str, authority: trustme.CA, tmp_path: Path, receiver_tls: ssl.SSLContext
) -> AsyncIterator[MailWorld]:
    async with mail_server(starttls=receiver_tls) as server:
        settings = notify_settings(authority, tmp_path)
        smtp = SmtpSettings(
            host="127.0.0.1",
            port=server.port,
            sender="audit@acme.com",
            ca_file=settings.ca_file,
            timeout_seconds=60,
        )
        async with notify_world(sqlite_url, settings, smtp=smtp) as world:
            yield MailWorld(world, server)


async def test_mail_goes_to_all_addresses_at_once_with_its_headers(mail: MailWorld) -> None:
    message_id = await mail.send()
    (got,) = mail.server.mails
    assert mail.server.encrypted == [True]
    assert mail.server.recipients == [TO]
    assert got["To"] == "ops@acme.com, sec@acme.com"
    assert got["Message-ID"] == f"<{message_id}@acme.com>"
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["List-Unsubscribe"].endswith("/orgs/org_x/notifications>")
    assert "[warning] alice@acme.com opened a terminal" in got["Subject"]
    parts = {part.get_content_type(): part.get_content() for part in got.iter_parts()}
    for text in parts.values():
        for fact in ("alice@acme.com", "pod.exec_started", "payments", "/activity/ae_"):
            assert fact in text
    assert sorted(parts) == ["text/html", "text/plain"]
    (attempt,) = await mail.world.attempts(message_id)
    assert (attempt.outcome, attempt.receiver_status) == ("delivered", 250)


async def test_mail_that_is_refused_for_a_while_is_tried_again_under_its_id(
    mail: MailWorld,
) -> None:
    mail.server.replies = ["451 later", "451 later"]
    message_id = await mail.send()
    (attempt,) = await mail.world.attempts(message_id)
    assert (attempt.outcome, attempt.error) == ("retry", "the mail server answered 451")
    await mail.world.deliver(10_000)
    assert [got["Message-ID"] for got in mail.server.mails] == [f"<{message_id}@acme.com>"]


async def test_mail_that_is_refused_for_good_is_not_tried_again(mail: MailWorld) -> None:
    mail.server.replies = ["550 no such user", "550 no such user"]
    message_id = await mail.send()
    assert (await mail.world.message(message_id)).state == "failed"


async def test_one_address_that_is_refused_keeps_no_other_from_its_mail(mail: MailWorld) -> None:
    mail.server.replies = ["550 no such user"]
    message_id = await mail.send()
    assert mail.server.recipients == [["sec@acme.com"]]
    (attempt,) = await mail.world.attempts(message_id)
    assert attempt.response == '{"accepted": 1, "refused": 1}'


async def test_no_organization_spends_more_than_its_mails_of_the_day(mail: MailWorld) -> None:
    budget = mail.world.hub.deliveries.mails
    now_ms = mail.world.hub.now_ms()
    assert budget.take("org_x", budget.per_day - len(TO), now_ms) is None
    sent, waits = await mail.send(), await mail.send()
    assert len(mail.server.mails) == 1
    assert (await mail.world.message(sent)).state == "delivered"
    (attempt,) = await mail.world.attempts(waits)
    assert (attempt.outcome, attempt.receiver_status) == ("retry", None)
    assert "mails of today" in str(attempt.error)
    assert budget.take("org_y", budget.per_day, now_ms) is None, "another organization has its own"
    tomorrow_ms = now_ms + 86_400_000
    assert budget.take("org_x", budget.per_day, tomorrow_ms) is None


async def test_policy_of_a_namespace_leaves_mails_of_the_day_for_the_organization(
    mail: MailWorld,
) -> None:
    world, agent = mail.world, await operator(mail.world.under_test)
    team, budgets = agent.owner("main", "payments"), world.hub.deliveries
    narrow = {
        "only_namespace": "payments",
        "destinations": [{"name": "team", "email": {"to": ["team@acme.com"]}}],
    }
    answer = await agent.put(team, scope="cluster", notifications=narrow)
    assert answer.status == 200, answer.body
    budgets.mails.per_day, budgets.narrow_mails.per_day = 2 + len(TO), 2
    flood = await world.put("team", 3, owner_id=team)
    await world.deliver()
    states = [(await world.message(one)).state for one in flood]
    assert states == ["delivered", "delivered", "pending"]
    (attempt,) = await world.attempts(flood[-1])
    assert "clusters and namespaces have had their 2 mails of today" in str(attempt.error)
    assert (await world.message(await mail.send())).state == "delivered"


async def test_mail_that_no_server_took_costs_none_of_the_day(mail: MailWorld) -> None:
    budget = mail.world.hub.deliveries.mails
    assert budget.take("org_x", budget.per_day - len(TO), mail.world.now_ms) is None
    mail.server.replies = ["451 later"] * 2 * len(TO)
    await mail.send()
    await mail.world.deliver(10_000)
    assert mail.server.mails == []
    await mail.world.deliver(3_600_000)
    assert len(mail.server.mails) == 1


async def test_mail_waits_while_no_mail_server_is_set(
    world: NotifyWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.set_destinations([Destination(name="ops", email=EmailTarget(to=TO))])
    (message_id,) = await world.put("ops")
    await world.deliver()
    assert (await world.message(message_id)).state == "pending"
    (attempt,) = await world.attempts(message_id)
    assert attempt.outcome == "retry"
    assert "RADAR_AUDIT_HUB_SMTP_HOST" in str(attempt.error)
    assert "opened a terminal" not in capsys.readouterr().err
