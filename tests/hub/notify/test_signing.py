"""Signatures are those of Standard Webhooks, as others verify them, also while keys change."""

from __future__ import annotations

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_hub.notify.signing import SigningKeyError, signatures
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.ed25519_check import verifies


def _coded(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def _public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def test_checker_knows_the_vectors_of_rfc_8032() -> None:
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verifies(public, signature, b"\x72")
    assert not verifies(public, signature, b"\x73")


@settings(max_examples=30)
@given(
    st.binary(min_size=24, max_size=64),
    st.binary(min_size=24, max_size=64),
    st.text(max_size=200),
)
def test_reference_library_verifies_each_secret_of_a_rotation(
    new: bytes, old: bytes, text: str
) -> None:
    body, now = json.dumps({"title": text}).encode(), int(time.time())
    secrets = [_coded("whsec_", new), _coded("whsec_", old)]
    header = signatures("msg_1", now, body, secrets=secrets, keys=[])
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": header}
    for secret in secrets:
        assert Webhook(secret).verify(body, headers) == {"title": text}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body + b" ", headers)


@settings(max_examples=4)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.booleans())
def test_signature_of_a_key_holds_by_the_arithmetic_of_the_rfc(
    seed: bytes, body: bytes, long_form: bool
) -> None:
    public = _public(seed)
    key = _coded("whsk_", seed + public if long_form else seed)
    tag, _, text = signatures("msg_1", 7, body, secrets=[], keys=[key]).partition(",")
    signature = base64.b64decode(text)
    assert tag == "v1a"
    assert verifies(public, signature, b"msg_1.7." + body)
    assert not verifies(public, signature, b"msg_2.7." + body)


def test_all_secrets_and_keys_sign_at_once() -> None:
    secrets = [_coded("whsec_", b"a" * 32), _coded("whsec_", b"b" * 32)]
    keys = [_coded("whsk_", b"c" * 32), _coded("whsk_", b"d" * 32)]
    found = signatures("msg_1", 7, b"{}", secrets=secrets, keys=keys).split(" ")
    assert [text.partition(",")[0] for text in found] == ["v1", "v1", "v1a", "v1a"]


@pytest.mark.parametrize(
    ("secrets", "keys"),
    [
        ([], []),
        (["canary"], []),
        (["whsec_"], []),
        (["whsec_canary!"], []),
        (["whsk_" + "YWJj" * 11], []),
        ([], ["whsk_Y2FuYXJ5"]),
        ([], ["whsec_" + "YWJj" * 11]),
    ],
)
def test_secret_that_cannot_sign_is_refused_and_not_repeated(
    secrets: list[str], keys: list[str]
) -> None:
    with pytest.raises(SigningKeyError) as caught:
        signatures("msg_1", 7, b"{}", secrets=secrets, keys=keys)
    assert "canary" not in str(caught.value)
    assert "YWJj" not in str(caught.value)
