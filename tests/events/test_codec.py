"""The canonical form equals RFC 8785 on its value set; what lies outside is refused."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.codec import (
    canonical,
    encode_plain,
    leaf_bytes,
    leaf_hash,
    personal_commitment,
    split_personal,
)
from radar_audit_events.errors import CanonicalError
from radar_audit_events.ids import format_ms

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_KEY = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
_SCALAR = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXT
_FLAT = _SCALAR | st.lists(_SCALAR, max_size=4) | st.dictionaries(_KEY, _SCALAR, max_size=4)
METADATA = st.dictionaries(_KEY, _FLAT | st.dictionaries(_KEY, _FLAT, max_size=3), max_size=6)


@given(METADATA)
def test_canonical_form_is_rfc_8785(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value) == encode_plain(value)


@given(METADATA)
def test_canonical_form_is_stable_over_decoding(value: dict[str, Any]) -> None:
    text = canonical(value)
    assert canonical(json.loads(text)) == text


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1.5},
        {"a": float("nan")},
        {"a": 2**53},
        {"a": -(2**53)},
        {"ä": 1},
        {"a\n": 1},
        {1: 1},
        {"a": "\0"},
        {"a": ["x", "\0"]},
        {"a": "\ud800"},
        {"a": b"x"},
        {"a": (1,)},
        {"a": {"b": {"c": {"d": {}}}}},
        {"a": [[[[]]]]},
    ],
)
def test_values_outside_the_set_are_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert json.loads(canonical({"a": "\\u0000"})) == {"a": "\\u0000"}


def test_leaf_is_the_canonical_object_of_the_design() -> None:
    commitment = bytes(range(32))
    leaf = leaf_bytes(
        org_id="org_x",
        id="ae_1",
        action="pod.exec_started",
        target_type="pod",
        target_id='cl_1/n"s/p',
        actor_user_id=None,
        created_at=format_ms(1_700_000_000_123),
        public_metadata=b'{"a":1}',
        commitment=commitment,
    )
    expected: dict[str, Any] = {
        "v": 1,
        "org_id": "org_x",
        "id": "ae_1",
        "action": "pod.exec_started",
        "target_type": "pod",
        "target_id": 'cl_1/n"s/p',
        "created_at": "2023-11-14T22:13:20.123Z",
        "metadata": {"a": 1},
        "pii_commitment": commitment.hex(),
    }
    assert leaf == rfc8785.dumps(expected)
    assert leaf_hash(leaf) == hashlib.sha256(b"\0" + leaf).digest()


def test_personal_data_is_in_the_commitment_and_not_in_the_leaf() -> None:
    metadata = {"email": "bob@acme.com", "role": "member"}
    public, personal = split_personal(metadata, frozenset({"email"}), "alice@acme.com")
    assert public == {"role": "member"}
    assert personal == {"actor_email": "alice@acme.com", "email": "bob@acme.com"}
    salt = b"s" * 32
    expected = hmac.new(salt, rfc8785.dumps(personal), hashlib.sha256).digest()
    assert personal_commitment(salt, personal) == expected
    assert personal_commitment(b"t" * 32, personal) != expected
    with pytest.raises(CanonicalError):
        personal_commitment(b"short", personal)
