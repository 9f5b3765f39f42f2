"""Mails say what they should, and nobody puts a header or markup of their own into one."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_hub.mail.messages import Mail, invitation
from radar_audit_hub.mail.sending import mime
from radar_audit_hub.names import is_name
from radar_audit_hub.settings_mail import SmtpSettings

URL = "https://audit.acme.com/invitations/accept#token=abc"
HEADERS = [
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version",
    "Content-Type",
]  # fmt: skip


def _invitation(org_name: str = "Acme", inviter: str | None = "alice@acme.com") -> Mail:
    return invitation(
        to="bob@acme.com",
        org_name=org_name,
        inviter_email=inviter,
        role="auditor",
        url=URL,
        until="2026-12-01T10:00:00.000Z",
    )


def test_invitation_says_who_where_what_and_until_when() -> None:
    mail = _invitation()
    for part in ("alice@acme.com", "“Acme”", "an auditor", URL, "bob@acme.com", "2026-12-01 10:00"):
        assert part in mail.text
        assert mail.html is not None
        assert part in mail.html
    assert "You are invited" in _invitation(inviter=None).text


def test_name_of_an_org_cannot_put_markup_into_a_mail() -> None:
    html = _invitation("<img src=x onerror=alert(1)>").html
    assert html is not None
    assert "<img" not in html


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=100).filter(is_name))
def test_no_name_of_an_org_adds_a_header(org_name: str) -> None:
    raw = mime(_invitation(org_name), SmtpSettings(), "ob_1", 0).as_bytes()
    found = message_from_bytes(raw, policy=policy.default)
    assert sorted(found.keys()) == sorted(HEADERS)
    assert str(found["To"]) == "bob@acme.com"


@pytest.mark.parametrize("text", ["a\r\nBcc: x@y.z", "a\nb", "a\rb", "a\x00b", "", "a" * 201])
def test_subject_that_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        Mail(to="a@b.c", subject=text, text="t")


@pytest.mark.parametrize("to", ["a@b.c\r\nBcc: x@y.z", "a@b.c, d@e.f", "A <a@b.c>", "a"])
def test_recipient_that_is_no_address_is_refused(to: str) -> None:
    with pytest.raises(ValueError, match="recipient"):
        Mail(to=to, subject="s", text="t")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": "nobody"},
        {"sender_name": "a\r\nBcc: x@y.z"},
        {"username": "hub"},
        {"host": "mail.acme.com", "security": "none", "username": "u", "password": "p"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="SMTP_") as caught:
        SmtpSettings(**wrong)  # type: ignore[arg-type]
    assert str(caught.value) != "p"
