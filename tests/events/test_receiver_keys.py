"""Keys of receivers are told apart by their form, and never repeated in what is wrong with them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_events.receiver_keys import (
    MAX_SECRET_BYTES,
    MIN_SECRET_BYTES,
    routing_key_mistake,
    signing_key_mistake,
    signing_secret_mistake,
)


def _coded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@given(st.binary(max_size=80))
def test_signing_secret_is_24_to_64_bytes(raw: bytes) -> None:
    is_right = MIN_SECRET_BYTES <= len(raw) <= MAX_SECRET_BYTES
    assert (signing_secret_mistake("whsec_" + _coded(raw)) is None) is is_right
    assert signing_key_mistake("whsec_" + _coded(raw)) is not None


@given(st.binary(max_size=80))
def test_signing_key_is_a_seed_with_or_without_its_public_half(raw: bytes) -> None:
    assert (signing_key_mistake("whsk_" + _coded(raw)) is None) is (len(raw) in (32, 64))
    assert signing_secret_mistake("whsk_" + _coded(raw)) is not None


@pytest.mark.parametrize(
    "text", ["", "canary", "whsec_", "whsec_canary!", "whsec_ca na", "whsec_ä"]
)
def test_what_is_no_secret_is_not_repeated(text: str) -> None:
    for mistake in (signing_secret_mistake(text), signing_key_mistake(text)):
        assert mistake is not None
        assert "canary" not in mistake


def test_routing_key_has_32_letters_and_digits() -> None:
    assert routing_key_mistake("0123456789abcdef0123456789abcdef") is None
    for wrong in ("0123456789abcdef", "0123456789abcdef0123456789abcde-", "ä" * 32):
        assert routing_key_mistake(wrong) is not None
