"""No ID token signs anybody in that is not the issuer's, for the hub, for this sign-in, now."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OKPKey
from radar_audit_hub.settings_signin import OidcSettings
from radar_audit_hub.signin.provider import REFETCH_MS

from tests.support.hostile_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    HostileProvider,
    hostile_provider,
    rsa_key,
    segment,
)
from tests.support.hub_builder import Answer, HubUnderTest, running_hub
from tests.support.visitor import PUBLIC_URL, SESSION, Visitor

Change = Callable[[HostileProvider], Any]


@pytest.fixture
async def provider() -> AsyncIterator[HostileProvider]:
    """A provider that does as it is told."""
    async with hostile_provider() as running:
        yield running


@pytest.fixture
async def hub(sqlite_url: str, provider: HostileProvider) -> AsyncIterator[HubUnderTest]:
    """A hub that trusts it."""
    oidc = OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    async with running_hub(
        sqlite_url, migrated=True, public_url=PUBLIC_URL, oidc=oidc
    ) as under_test:
        provider.now_seconds = under_test.clock.now_ms // 1000
        yield under_test


async def sign_in(
    hub: HubUnderTest, provider: HostileProvider, more: str = ""
) -> tuple[Visitor, Answer]:
    """Go all the way, with `more` at the end of the address that leads back."""
    visitor = Visitor(hub)
    back = provider.authorize(await visitor.begin())
    return visitor, await visitor.send("GET", back + more)


def without_signature(provider: HostileProvider) -> None:
    provider.sign = lambda _, claims: f"{segment({'alg': 'none'})}.{segment(claims)}."


def with_empty_signature(provider: HostileProvider) -> None:
    provider.sign = lambda _, claims: f"{segment({'alg': 'none'})}.{segment(claims)}.AAAA"


def signed_with_the_public_key(provider: HostileProvider) -> None:
    """The classic: RS256's public key, which everybody has, as HS256's secret."""

    def sign(_: Any, claims: Any) -> str:
        head = f"{segment({'alg': 'HS256', 'kid': 'k1'})}.{segment(claims)}"
        secret = provider.key.as_pem(private=False)
        mac = hmac.new(secret, head.encode(), hashlib.sha256).digest()
        return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    provider.sign = sign


def signed_by_another_key(provider: HostileProvider) -> None:
    provider.published = [provider.public()]
    provider.key = rsa_key(1)


def key_in_the_header(provider: HostileProvider) -> None:
    provider.published = [provider.public()]
    provider.key = rsa_key(1)
    provider.header = {"jwk": provider.key.as_dict(private=False)}


def changed_after_signing(provider: HostileProvider) -> None:
    def sign(header: Any, claims: Any) -> str:
        head, _, signature = provider._signed(header, claims).split(".")
        return f"{head}.{segment({**claims, 'sub': 'somebody-else'})}.{signature}"

    provider.sign = sign


def of_a_key_for_encryption(provider: HostileProvider) -> None:
    provider.published = [provider.public(use="enc")]


def no_kid_among_two_keys(provider: HostileProvider) -> None:
    other = {**rsa_key(1).as_dict(private=False), "kid": "k2"}
    provider.published, provider.header = [provider.public(), other], {}


def unknown_kid(provider: HostileProvider) -> None:
    provider.published = [provider.public()]
    provider.header = {"kid": "k9"}


def short_rsa_key(provider: HostileProvider) -> None:
    provider.published = [provider.public(n="AQAB")]


def critical_extension(provider: HostileProvider) -> None:
    """A good signature over a header that says: refuse me unless you know `x`."""

    def sign(header: Any, claims: Any) -> str:
        head = f"{segment({**header, 'crit': ['x'], 'x': 1})}.{segment(claims)}"
        key = provider.key.private_key
        assert isinstance(key, RSAPrivateKey)
        signature = key.sign(head.encode(), PKCS1v15(), SHA256())
        return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    provider.sign = sign


def claims(**changes: Any) -> Change:
    return lambda provider: provider.claims.update(changes)


def times(**changes: int) -> Change:
    return lambda provider: provider.claims.update(
        {name: provider.now_seconds + seconds for name, seconds in changes.items()}
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(without_signature, id="alg none"),
        pytest.param(with_empty_signature, id="alg none, with a signature"),
        signed_with_the_public_key,
        signed_by_another_key,
        key_in_the_header,
        changed_after_signing,
        of_a_key_for_encryption,
        no_kid_among_two_keys,
        unknown_kid,
        short_rsa_key,
        critical_extension,
        pytest.param(lambda p: setattr(p, "algorithm", "RS384"), id="alg not allowed"),
        pytest.param(lambda p: setattr(p, "sign", lambda *_: "x"), id="no token"),
        pytest.param(lambda p: setattr(p, "sign", lambda *_: "a.b.c"), id="no json"),
        pytest.param(claims(aud="other"), id="aud"),
        pytest.param(claims(aud=None), id="no aud"),
        pytest.param(claims(aud=["hub", "other"]), id="two aud without azp"),
        pytest.param(claims(azp="other"), id="azp"),
        pytest.param(claims(iss="https://evil.example"), id="iss"),
        pytest.param(claims(nonce="other"), id="nonce"),
        pytest.param(claims(nonce=None), id="no nonce"),
        pytest.param(claims(at_hash="AAAA"), id="at_hash"),
        pytest.param(claims(sub=None), id="no sub"),
        pytest.param(claims(sub="x" * 256), id="long sub"),
        pytest.param(claims(sub="a\x00b"), id="NUL in sub"),
        pytest.param(claims(exp=None), id="no exp"),
        pytest.param(claims(exp="9999999999"), id="exp is text"),
        pytest.param(claims(exp=True), id="exp is true"),
        pytest.param(claims(iat=None), id="no iat"),
        pytest.param(times(exp=-60), id="expired"),
        pytest.param(times(iat=61), id="from the future"),
        pytest.param(times(nbf=61), id="not yet"),
    ],
)
async def test_token_that_is_wrong_signs_nobody_in(
    hub: HubUnderTest, provider: HostileProvider, change: Change
) -> None:
    change(provider)
    visitor, answer = await sign_in(hub, provider)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert SESSION not in visitor.cookies


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: None, id="as it should be"),
        pytest.param(times(exp=-59), id="expired within the leeway"),
        pytest.param(times(iat=60), id="clock that is ahead within the leeway"),
        pytest.param(claims(aud=["hub", "other"], azp="hub"), id="two aud with azp"),
        pytest.param(lambda p: setattr(p, "header", {}), id="no kid, one key"),
        pytest.param(lambda p: p.claims.update(at_hash=at_hash("access-1")), id="at_hash"),
    ],
)
async def test_token_that_is_right_signs_its_person_in(
    hub: HubUnderTest, provider: HostileProvider, change: Change
) -> None:
    change(provider)
    visitor, answer = await sign_in(hub, provider)
    assert answer.status == 303
    assert (await visitor.me())["email"] == "bob@acme.com"


def at_hash(token: str) -> str:
    half = hashlib.sha256(token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(half).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_other_kinds_of_keys_are_taken(
    hub: HubUnderTest, provider: HostileProvider, algorithm: str
) -> None:
    key: Any = ECKey if algorithm == "ES256" else OKPKey
    curve = "P-256" if algorithm == "ES256" else "Ed25519"
    provider.key = key.generate_key(curve, private=True)
    provider.algorithm = algorithm
    assert (await sign_in(hub, provider))[1].status == 303


async def test_answer_of_another_provider_is_refused(
    hub: HubUnderTest, provider: HostileProvider
) -> None:
    assert (await sign_in(hub, provider, "&iss=https://evil.example"))[1].status == 403
    assert (await sign_in(hub, provider, f"&iss={provider.issuer}"))[1].status == 303


async def test_provider_that_names_itself_must_do_so(
    hub: HubUnderTest, provider: HostileProvider
) -> None:
    provider.discovery["authorization_response_iss_parameter_supported"] = True
    assert (await sign_in(hub, provider))[1].status == 403


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
)
async def test_provider_with_unsafe_addresses_is_not_used(
    hub: HubUnderTest, provider: HostileProvider, discovery: dict[str, Any]
) -> None:
    provider.discovery.update(discovery)
    answer = await hub.get("/api/auth/oidc/start", token=None)
    assert (answer.status, answer.json["code"]) == (503, "unavailable")


BROKEN: dict[str, Callable[[], web.Response]] = {
    "huge": lambda: web.Response(body=b" " * 300_000),
    "no json": lambda: web.Response(body=b"<html>"),
    "a list": lambda: web.json_response([]),
    "deep": lambda: web.Response(body=b"[" * 100_000),
    "an error": lambda: web.Response(status=500),
    "elsewhere": lambda: web.Response(
        status=302, headers={"Location": "http://127.0.0.1:1/.well-known/openid-configuration"}
    ),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize("how", list(BROKEN))
async def test_provider_that_is_broken_is_away(
    hub: HubUnderTest, provider: HostileProvider, path: str, how: str
) -> None:
    provider.broken[path] = BROKEN[how]
    visitor = Visitor(hub)
    answer = await visitor.send("GET", "/api/auth/oidc/start")
    if path != "/.well-known/openid-configuration":
        back = provider.authorize(answer.headers["Location"])
        answer = await visitor.send("GET", back)
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert SESSION not in visitor.cookies


@pytest.mark.parametrize("more", ["", "&code=a&code=b", "&code=", "&code=a&error=b"])
async def test_answer_without_one_code_is_malformed(hub: HubUnderTest, more: str) -> None:
    answer = await Visitor(hub).send("GET", "/api/auth/oidc/callback?state=s" + more)
    assert (answer.status, answer.json["code"]) == (400, "invalid_parameter")


async def test_provider_that_refuses_signs_nobody_in(
    hub: HubUnderTest, provider: HostileProvider
) -> None:
    visitor = Visitor(hub)
    back = provider.authorize(await visitor.begin()).replace("code=code-0", "error=access_denied")
    assert (await visitor.send("GET", back)).status == 403


async def test_changed_keys_are_fetched_anew_but_not_for_every_token(
    hub: HubUnderTest, provider: HostileProvider
) -> None:
    assert (await sign_in(hub, provider))[1].status == 303
    provider.key = rsa_key(1)
    provider.header = {"kid": "k2"}
    for _ in range(3):
        assert (await sign_in(hub, provider))[1].status == 403
    assert provider.fetched.count("keys") == 1
    hub.clock.now_ms += REFETCH_MS
    provider.now_seconds += REFETCH_MS // 1000
    assert (await sign_in(hub, provider))[1].status == 303
    assert provider.fetched.count("keys") == 2


async def test_userinfo_of_somebody_else_is_refused(
    hub: HubUnderTest, provider: HostileProvider
) -> None:
    provider.discovery["userinfo_endpoint"] = provider.issuer + "/userinfo"
    provider.claims["email"] = None
    provider.userinfo = {"sub": "subject-2", "email": "p1@acme.com", "email_verified": True}
    assert (await sign_in(hub, provider))[1].status == 403
    provider.userinfo["sub"] = "subject-1"
    visitor, answer = await sign_in(hub, provider)
    assert answer.status == 303
    # The first org's owner, whose e-mail the provider vouches for.
    assert (await visitor.me())["user_id"] == "user_1"


@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email": None},
        {"email": "p1@acme.\u212aom"},
        {"email": "nobody"},
        {"email": ["p1@acme.com"]},
    ],
)
async def test_email_that_is_not_vouched_for_links_nothing(
    hub: HubUnderTest, provider: HostileProvider, changes: dict[str, Any]
) -> None:
    provider.claims = {"email": "p1@acme.com", **changes}
    assert (await sign_in(hub, provider))[1].status == 403


async def test_email_that_passed_to_somebody_else_takes_no_account_over(
    hub: HubUnderTest, provider: HostileProvider
) -> None:
    assert (await sign_in(hub, provider))[1].status == 303
    provider.claims["sub"] = "subject-2"
    _, answer = await sign_in(hub, provider)
    assert answer.status == 403
    assert "somebody else" in answer.json["detail"]


async def test_email_that_changed_at_the_provider_counts_no_longer(
    hub: HubUnderTest, provider: HostileProvider
) -> None:
    visitor, _ = await sign_in(hub, provider)
    provider.claims["email"] = "robert@acme.com"
    again, _ = await sign_in(hub, provider)
    assert (await again.me())["user_id"] == (await visitor.me())["user_id"]
    assert (await again.me())["email_verified"] is False
