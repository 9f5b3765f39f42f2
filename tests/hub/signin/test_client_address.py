"""A client's address is what trusted proxies say, and never what the client says itself."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from radar_audit_hub.client_address import client_address
from radar_audit_hub.settings import load_settings
from radar_audit_runtime.settings import SettingsError

from tests.support.browsers import signed_in
from tests.support.hub_builder import running_hub

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.9, 10.2.2.2"], "203.0.113.9"),
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", ["1.2.3.4, not an address"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["10.1.1.1," * 5000 + "203.0.113.9"], "203.0.113.9"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_address_is_the_nearest_that_no_trusted_proxy_has(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == expected


def test_header_is_ignored_where_no_proxy_is_trusted() -> None:
    assert client_address("10.0.0.1", ["203.0.113.9"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("trusted", "expected"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")]
)
async def test_rows_tell_the_clients_address(
    sqlite_url: str, trusted: tuple[str, ...], expected: str
) -> None:
    async with running_hub(sqlite_url, migrated=True, trusted_proxies=trusted) as hub:
        browser = await signed_in(hub)
        headers = {**browser.headers, "X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
        answer = await hub.send("DELETE", "/api/session", token=None, headers=headers)
        assert answer.status == 200
        (event,) = (await hub.get("?action=auth.signout")).json["events"]
        assert event["metadata"]["ip"] == expected


def test_what_is_no_network_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        load_settings({"RADAR_AUDIT_HUB_TRUSTED_PROXIES": "10.0.0.0/8,proxy.example"})
