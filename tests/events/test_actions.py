"""The table of actions is the contract's, and its two derived schemas agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from radar_audit_events.actions import ACTIONS, TARGET_TYPES, actions_of_type
from radar_audit_events.errors import EventInvalidError
from radar_audit_events.event import MAX_METADATA_BYTES, validate_event
from radar_audit_events.schema import json_schema, validate_metadata

from tests.support.log_rows import METADATA, make_event

PUBLIC_ACTIONS = [
    "cluster.created",
    "cluster.updated",
    "cluster.deleted",
    "cluster.token_rotated",
    "cluster.action_denied",
    "cluster.agent.upgrade_requested",
    "pod.exec_started",
    "pod.exec_ended",
    "org.created",
    "org.updated",
    "org.sso.portal_opened",
    "org_invitation.created",
    "org_invitation.accepted",
    "org_invitation.revoked",
    "org_member.joined",
    "org_member.auto_joined",
    "org_member.sso_joined",
    "org_member.removed",
    "pat.created",
    "pat.revoked",
    "billing.checkout_started",
    "billing.subscription_changed",
    "auth.signin",
    "auth.signout",
]


def test_the_24_public_actions_and_the_marked_extensions_are_the_whole_table() -> None:
    assert sorted(a.name for a in ACTIONS.values() if not a.extension) == sorted(PUBLIC_ACTIONS)
    assert len(PUBLIC_ACTIONS) == 24
    assert sorted(a.name for a in ACTIONS.values() if a.extension) == [
        "audit.exported",
        "audit.policy_changed",
        "audit.retention_pruned",
        "audit.viewed",
        "org.deleted",
        "org_member.role_changed",
    ]


def test_target_types_are_the_contracts() -> None:
    assert sorted(TARGET_TYPES) == sorted(
        ["cluster", "pod", "org", "org_member", "org_invitation", "pat", "billing", "auth"]
    )
    assert actions_of_type(["pod"]) == {"pod.exec_started", "pod.exec_ended"}


def test_only_collectors_may_state_what_happened_to_a_terminal() -> None:
    assert all(
        ACTIONS[n].producers == {"collector"} for n in ("pod.exec_started", "pod.exec_ended")
    )


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_json_schema_of_each_action_is_valid_and_closed(action: str) -> None:
    schema = json_schema(action)
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


_VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        5,
        -1,
        2**53,
        1.5,
        "",
        "x",
        "owner",
        "error",
        "domain_auto_join",
        [],
        ["a"],
        [1],
        {},
        {"k": "v"},
        {"k": 1},
        {"f": ["a", "b"]},
        {"f": ["a"]},
        {"f": [None, ["x"]]},
        "y" * 2049,
    ]
)


@given(st.sampled_from(sorted(ACTIONS)), st.data())
def test_compiled_validator_and_json_schema_judge_alike(action: str, data: st.DataObject) -> None:
    keys = [field.name for field in ACTIONS[action].fields]
    metadata: dict[str, Any] = dict(METADATA.get(action, {}))
    for key in data.draw(st.lists(st.sampled_from([*keys, "via_pat", "unknown"]), max_size=4)):
        metadata[key] = data.draw(_VALUES)
    by_schema = Draft202012Validator(json_schema(action)).is_valid(metadata)
    try:
        validate_metadata(action, metadata)
    except EventInvalidError:
        assert not by_schema, metadata
    else:
        assert by_schema, metadata


@pytest.mark.parametrize(
    "changes,field",
    [
        ({"metadata": {"namespace": 5}}, "metadata.namespace"),
        ({"metadata": {"typo": "x"}}, "metadata.typo"),
        ({"action": "pod.exec_ended", "metadata": {"duration_ms": -1}}, "metadata.duration_ms"),
        ({"action": "pod.exec_ended", "metadata": {"duration_ms": 0.5}}, "metadata.duration_ms"),
        ({"metadata": {"namespace": "a\0b"}}, "metadata"),
        ({"target_type": "org"}, "target_type"),
        ({"target_id": "a b"}, "target_id"),
        ({"target_id": ""}, "target_id"),
        ({"actor_email": "a@b.c\n"}, "actor_email"),
        ({"actor_user_id": " alice"}, "actor_user_id"),
        ({"actor_user_id": "alice\n"}, "actor_user_id"),
        ({"actor_user_id": "al\x1bice"}, "actor_user_id"),
        ({"actor_user_id": ""}, "actor_user_id"),
        ({"id": "ae_01ARZ3NDEK0000000000000000"}, "id"),
    ],
)
def test_a_wrong_event_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(EventInvalidError) as refused:
        validate_event(make_event(1, **changes))
    assert [e.field for e in refused.value.errors] == [field]


@pytest.mark.parametrize(
    "name", ["A", "Alice Doe", "CN=Alice,OU=X Y", "\u0410\u043b\u0438\u0441\u0430", "oidc:1"]
)
def test_a_name_of_any_identity_provider_is_taken(name: str) -> None:
    validate_event(make_event(1, actor_user_id=name))


def test_metadata_over_the_limit_is_refused() -> None:
    labels = {f"key-{n}": "v" * 2000 for n in range(9)}
    event = make_event(1, action="cluster.created", metadata={"labels": labels})
    with pytest.raises(EventInvalidError, match=str(MAX_METADATA_BYTES)):
        validate_event(event)


def test_unknown_action_is_refused_by_name() -> None:
    event = make_event(1)
    with pytest.raises(EventInvalidError) as refused:
        validate_event(type(event)(**{**_fields(event), "action": "pod.opened"}))
    assert refused.value.errors[0].field == "action"


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_public_form_has_the_contracts_keys_in_order() -> None:
    form = make_event(1, seq=7).public()
    assert list(form) == [
        "id", "org_id", "actor_user_id", "actor_email", "action", "target_type", "target_id",
        "metadata", "created_at", "seq",
    ]  # fmt: skip
    assert "seq" not in make_event(1).public()
