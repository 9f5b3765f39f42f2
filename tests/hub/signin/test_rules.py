"""Rules of signing in that need no server: where to return, whose e-mail counts, safe addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.auth.identity_rules import is_email_still_good, is_subject, vouched_email
from radar_audit_hub.auth.sessions import origin_of
from radar_audit_hub.settings_signin import OidcSettings, WorkosSettings, is_safe_url
from radar_audit_hub.signin.return_path import MAX_CHARS, own_path
from yarl import URL

from tests.support.hub_builder import running_hub

ELSEWHERE = [
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "/\n/evil.example",
    " /x",
    "/a b",
    "x",
    "/\u2028",
    "/" + "x" * MAX_CHARS,
]


@pytest.mark.parametrize("path", ["/", "/orgs/org_1?tab=log#top", "/a//b", "/%2F%2Fevil.example"])
def test_path_of_this_server_is_kept(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize("path", ELSEWHERE)
def test_address_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path of this server"):
        own_path(path)


@given(st.text(max_size=40))
def test_whatever_is_kept_stays_on_this_server(text: str) -> None:
    try:
        kept = own_path("/" + text)
    except ValueError:
        return
    joined = URL("https://hub.example/x").join(URL(kept, encoded=True))
    assert joined.host == "hub.example"


async def test_sign_in_that_would_end_elsewhere_does_not_begin(sqlite_url: str) -> None:
    oidc = OidcSettings(issuer="https://127.0.0.1:9", client_id="hub")
    async with running_hub(sqlite_url, migrated=True, oidc=oidc) as hub:
        for path in ELSEWHERE:
            answer = await hub.get("/api/auth/oidc/start", token=None, params={"return_to": path})
            assert (answer.status, answer.json["errors"][0]["field"]) == (400, "return_to"), path
        # One that is fine gets as far as to the provider, which is not there.
        fine = await hub.get("/api/auth/oidc/start", token=None, params={"return_to": "/x"})
        assert fine.status == 503


@pytest.mark.parametrize(
    ("email", "verified", "trusted", "expected"),
    [
        ("Alice@Acme.com", True, False, "alice@acme.com"),
        ("alice@acme.com", "true", False, "alice@acme.com"),
        ("alice@acme.com", None, True, "alice@acme.com"),
        ("alice@acme.com", None, False, None),
        ("alice@acme.com", False, True, None),
        ("alice@acme.com", "false", True, None),
        ("alice@acme.com", 1, False, None),
        ("alice@acme.\u212aom", True, True, None),
        ("alice", True, True, None),
        (None, True, True, None),
        (7, True, True, None),
    ],
)
def test_email_counts_only_when_it_is_vouched_for(
    email: object, verified: object, trusted: bool, expected: str | None
) -> None:
    assert vouched_email(email, verified, trusted=trusted) == expected


def test_email_of_a_known_person_counts_while_the_issuer_names_it() -> None:
    assert is_email_still_good("a@x.y", "a@x.y")
    assert not is_email_still_good("a@x.y", "b@x.y")
    assert not is_email_still_good("a@x.y", None)


def test_subject_is_printable_and_bounded() -> None:
    assert is_subject("x" * 255)
    assert not any(map(is_subject, ["", "x" * 256, "a\n", "é", None, 7]))


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example/a", True),
        ("http://127.0.0.1:5556/dex", True),
        ("http://localhost", True),
        ("http://id.example", False),
        ("https://user@id.example", False),
        ("https://id.example#x", False),
        ("https://", False),
        ("file:///etc/passwd", False),
        ("https://[bad", False),
        ("", False),
    ],
)
def test_only_https_is_asked_but_for_this_machine(url: str, safe: bool) -> None:
    assert is_safe_url(url) is safe


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://id.example", "client_id": "x"},
        {"issuer": "https://id.example"},
        {"issuer": "https://id.example", "client_id": "x", "scopes": ("openid",)},
        {"issuer": "https://id.example", "client_id": "x", "algorithms": ("RS256", "HS256")},
        {"issuer": "https://id.example", "client_id": "x", "algorithms": ("none",)},
        {"issuer": "https://id.example", "client_id": "x", "algorithms": ()},
    ],
)
def test_unsafe_provider_is_refused_at_start(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="RADAR_AUDIT_HUB_OIDC_"):
        OidcSettings(**wrong)  # type: ignore[arg-type]


def test_half_a_workos_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="WORKOS_CLIENT_ID"):
        WorkosSettings(api_key="sk_x")
    with pytest.raises(ValueError, match="WORKOS_URL"):
        WorkosSettings(url="http://api.workos.com")


def test_origin_is_written_as_browsers_write_it() -> None:
    assert origin_of("https://Hub.example:443/") == "https://hub.example"
    assert origin_of("http://127.0.0.1:8080") == "http://127.0.0.1:8080"
