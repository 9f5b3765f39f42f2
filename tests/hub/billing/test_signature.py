"""Only what Stripe signed, and not long ago, is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.billing.signature import (
    MAX_SIGNATURES,
    SignatureRefusedError,
    check_signature,
    sign,
)

from tests.hub.billing.conftest import Shop
from tests.support.stripe_server import WEBHOOK_SECRET

SECRET = "whsec_test"
BODY = b'{"id": "evt_1"}'
NOW = 1_764_000_000
# Made with `printf '%s.%s' 1764000000 '{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
KNOWN = "6a3e12a1f526d1b19f5267664bf42bca8273b5d7091dac01dcc8bbeb2a0f4653"


def check(header: str | None, body: bytes = BODY, now_ms: int = NOW * 1000) -> None:
    check_signature(header, body, SECRET, now_ms)


def header(sent_at: int = NOW, body: bytes = BODY, secret: str = SECRET) -> str:
    return f"t={sent_at},v1={sign(body, secret, sent_at)}"


def test_signature_is_the_one_that_openssl_makes() -> None:
    assert sign(BODY, SECRET, NOW) == KNOWN


def test_right_signature_among_several_is_enough() -> None:
    right = sign(BODY, SECRET, NOW)
    check(f"t={NOW},v1={'0' * 64},v1={right}")
    check(f"t={NOW}, v1={right}, v1={'f' * 64},v0=whatever,extra")
    check(",".join([f"t={NOW}", *[f"v1={'0' * 64}"] * (MAX_SIGNATURES - 1), f"v1={right}"]))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        "t",
        f"t={NOW}",
        f"v1={sign(BODY, SECRET, NOW)}",
        f"t=,v1={sign(BODY, SECRET, NOW)}",
        f"t=-{NOW},v1={sign(BODY, SECRET, NOW)}",
        f"t={NOW}.0,v1={sign(BODY, SECRET, NOW)}",
        f"t={NOW},t={NOW},v1={sign(BODY, SECRET, NOW)}",
        f"t={10**13},v1={sign(BODY, SECRET, 10**13)}",
        f"t={NOW},v0={sign(BODY, SECRET, NOW)}",
        f"t={NOW},v1={sign(BODY, SECRET, NOW)[:-1]}",
        f"t={NOW},v1={sign(BODY, SECRET, NOW).upper()}",
        f"t={NOW + 1},v1={sign(BODY, SECRET, NOW)}",
        f"t={NOW},v1={sign(BODY + b' ', SECRET, NOW)}",
        f"t={NOW},v1={sign(BODY, 'whsec_other', NOW)}",
        ",".join([f"t={NOW}", *[f"v1={sign(BODY, SECRET, NOW)}"] * (MAX_SIGNATURES + 1)]),
    ],
)
def test_malformed_and_forged_signatures_are_refused(wrong: str | None) -> None:
    with pytest.raises(SignatureRefusedError) as caught:
        check(wrong)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("apart", "good"), [(0, True), (300, True), (301, False)])
def test_signature_is_good_for_five_minutes_to_either_side(apart: int, *, good: bool) -> None:
    for sent_at in (NOW - apart, NOW + apart):
        if good:
            check(header(sent_at))
        else:
            with pytest.raises(SignatureRefusedError, match="300 seconds"):
                check(header(sent_at))


@given(st.text(max_size=200), st.binary(max_size=50))
def test_no_header_makes_the_check_fail_otherwise(text: str, body: bytes) -> None:
    with pytest.raises(SignatureRefusedError):
        check_signature(text, body, SECRET, NOW * 1000)


async def test_webhooks_that_are_not_stripes_change_nothing(shop: Shop) -> None:
    subscription_id = await shop.subscribe()
    asked = len(shop.stripe.requests)
    event = shop.stripe.account.cancel(subscription_id)
    now = shop.stripe.account.now()
    assert await shop.deliver(event, secret="whsec_forged") == [400]
    assert await shop.deliver(event, sent_at=now - 301) == [400]
    body, header = shop.stripe.signed(event)
    for sent, headers in (
        (body + b" ", {"Stripe-Signature": header}),
        (body, {}),
        (body, {"Stripe-Signature": "t=1,v1=zz"}),
    ):
        answer = await shop.hub.send(
            "POST",
            "/api/webhooks/stripe",
            token=None,
            data=sent,
            headers={"Content-Type": "application/json", **headers},
        )
        assert answer.status == 400
        assert WEBHOOK_SECRET not in answer.body.decode()
    assert len(shop.stripe.requests) == asked
    assert (await shop.billing())["plan"] == "team"
    assert shop.counted("refused") == 5
    assert await shop.deliver(event) == [200]
    assert (await shop.billing())["plan"] == "free"


async def test_webhook_bodies_are_bounded_and_checked_after_their_signature(shop: Shop) -> None:
    big = shop.stripe.account.tell("customer.created", {"text": "x" * 1024 * 1024})
    assert await shop.deliver(big) == [413]
    assert await shop.deliver(
        {"id": "evt_1"}, {"id": "x", "type": "t", "data": {"object": {}}}
    ) == [
        422,
        422,
    ]
    statuses = [(await shop.deliver({}, secret="whsec_x"))[0] for _ in range(9)]
    assert statuses == [400] * 8 + [429]
