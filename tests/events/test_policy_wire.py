"""Guards what operator and hub share: owner ids, whole documents on the wire, hidden secrets."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.errors import IdError
from radar_audit_events.policy_answers import SettingsAnswer
from radar_audit_events.policy_wire import (
    CaptureSettings,
    Destination,
    NotificationSettings,
    OwnerDocument,
    RetentionSettings,
    SlackTarget,
    WebhookTarget,
    capture_etag,
    owner_id,
    parse_owner_id,
)

CANARY = "https://hooks.example.com/canary-secret"
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(NAMES, NAMES)
def test_an_owner_id_gives_back_its_parts_and_has_no_slash(namespace: str, name: str) -> None:
    made = owner_id("cl_01H", namespace, name)
    parts = parse_owner_id(made)
    assert (parts.cluster_id, parts.namespace, parts.name) == ("cl_01H", namespace, name)
    assert "/" not in made


def test_an_audithub_has_an_owner_id_that_no_policy_can_have() -> None:
    assert owner_id("cl_1", None, "main") == "k8s:cl_1:-:main"
    assert parse_owner_id("k8s:cl_1:-:main").namespace is None


@pytest.mark.parametrize(
    "text",
    ["", "org", "k8s:cl_1:a/b:c", "k8s:cl_1:a", "k8s:cl_1:a:b\n", "k8s:c:a:b", "k8s:cl_1:A:b"],
)
def test_what_is_no_owner_id_is_refused(text: str) -> None:
    with pytest.raises(IdError):
        parse_owner_id(text)


def document(**changes: object) -> OwnerDocument:
    hook = WebhookTarget(url="https://x.test", signing_secret=CANARY)
    destinations = [
        Destination(name="slack", slack=SlackTarget(url=CANARY)),
        Destination(name="hook", webhook=hook),
    ]
    whole = OwnerDocument(
        uid="u",
        generation=3,
        spec_hash="h",
        created_at="2026-11-25T10:00:00Z",
        retention=RetentionSettings(max_age_hours=720),
        notifications=NotificationSettings(destinations=destinations),
    )
    return msgspec.structs.replace(whole, **changes)


def test_a_document_travels_whole_with_its_secrets() -> None:
    sent = msgspec.json.encode(document())
    assert msgspec.json.decode(sent, type=OwnerDocument) == document()
    assert sent.count(CANARY.encode()) == 2


def test_no_secret_of_a_document_is_in_its_repr() -> None:
    assert CANARY not in repr(document())
    assert "not shown" in repr(document())


def test_a_request_with_an_unknown_field_is_refused_and_an_answer_may_grow() -> None:
    sent = msgspec.to_builtins(document()) | {"retentoin": {}}
    with pytest.raises(msgspec.ValidationError, match="retentoin"):
        msgspec.convert(sent, OwnerDocument)
    answer = SettingsAnswer(
        revision="1",
        now="2026-11-25T10:00:00Z",
        org_id="org_1",
        cluster_id="cl_1",
        cluster_name="prod",
        plan="team",
        ceiling_hours=720,
        scopes=[],
    )
    grown = msgspec.to_builtins(answer) | {"added_later": 1}
    assert msgspec.convert(grown, SettingsAnswer) == answer


def test_capture_settings_have_one_etag_whatever_says_them() -> None:
    spoken = msgspec.json.decode(b'{"attach":false,"enabled":true}', type=CaptureSettings)
    assert capture_etag(spoken) == capture_etag(CaptureSettings())
    assert capture_etag(CaptureSettings(attach=True)) != capture_etag(CaptureSettings())
