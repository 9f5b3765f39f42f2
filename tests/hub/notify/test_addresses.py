"""Nothing is sent to an address inside a network, however it is written."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_hub.notify.addresses import Allowed, UrlRefusedError, read_url, refusal

NONE = Allowed()
PRIVATE = Allowed(("10.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "fd00::/8"))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T/B/x",
        "https://hooks.example.com:8443/a?b=c",
        "https://93.184.216.34/x",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/x",
        "https://bücher.example/x",
        "https://name-with-digits-1.2.example./",
    ],
)
def test_public_https_url_is_taken(url: str) -> None:
    read_url(url, NONE)


@pytest.mark.parametrize(
    "url",
    [
        # Ways to write 127.0.0.1: decimal, octal, hex, short, with a dot, in other digits.
        "https://127.0.0.1/", "https://2130706433/", "https://017700000001/", "https://0x7f.1/",
        "https://0177.0.0.1/", "https://127.1/", "https://0x7f000001/", "https://127.0.0.1./",
        "https://127.0.0.0x1/", "https://%31%32%37.0.0.1/", "https://127\u30020\u30020\u30021/",
        "https://\uff11\uff12\uff17.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/", "https://[2001:0:7f00:1::]/", "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/", "https://0.0.0.0/", "https://0/", "https://[::]/",
        # Inside of a network, or where clouds hand out credentials.
        "https://10.0.0.1/", "https://192.168.1.1/", "https://172.16.0.1/", "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/",
        "https://168.63.129.16/", "https://100.100.100.200/", "https://192.0.0.192/",
        "https://224.0.0.1/", "https://255.255.255.255/", "https://[ff0e::1]/",
        "https://[2001:db8::1]/", "https://198.18.0.1/", "https://[fc00::1]/",
        "https://[2606:4700::5efe:10.0.0.1]/",
        # Other than an https URL of a host.
        "http://hooks.example.com/", "ftp://hooks.example.com/", "file:///etc/passwd", "https:///x",
        "https://", "//hooks.example.com/", "https://user:pw@hooks.example.com/",
        "https://user@hooks.example.com/", "https://@hooks.example.com/", "https://a b.example/",
        "https://a\\@b.example/", "https://a.example\t/", "https://a.example/\r\nX: y",
        "https://hooks.example.com:22/", "https://hooks.example.com:80/",
        "https://hooks.example.com:99999/", "https://hooks.example.com:x/",
        "https://a.example/" + "x" * 2048,
    ],
)  # fmt: skip
def test_url_that_leads_inside_or_is_none_is_refused(url: str) -> None:
    with pytest.raises(UrlRefusedError) as caught:
        read_url(url, NONE)
    assert "/latest" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://10.2.3.4:25/", "http://10.2.3.4/", "http://[fd12::1]:8080/"]
)
def test_allowed_network_may_be_reached_by_any_port_and_http(url: str) -> None:
    read_url(url, PRIVATE)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254", "fe80::1"],
)
def test_metadata_service_is_refused_even_in_an_allowed_network(address: str) -> None:
    assert refusal(ip_address(address), PRIVATE, scheme="https") is not None


def test_http_is_for_allowed_networks_only() -> None:
    public = ip_address("93.184.216.34")
    assert refusal(public, PRIVATE, scheme="https") is None
    assert refusal(public, PRIVATE, scheme="http") is not None
    assert refusal(ip_address("10.0.0.1"), PRIVATE, scheme="http") is None


@given(st.ip_addresses(v=6) | st.ip_addresses(v=4))
def test_what_python_calls_private_is_never_reached(address) -> None:  # type: ignore[no-untyped-def]
    if refusal(address, NONE, scheme="https") is None:
        nat64 = ip_network("64:ff9b::/96")
        assert address.is_global or address in nat64
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_address_within_ipv6_is_judged_as_the_one_that_is_reached(address) -> None:  # type: ignore[no-untyped-def]
    plain = refusal(address, NONE, scheme="https")
    for prefix in ("::ffff:", "64:ff9b::"):
        assert refusal(ip_address(f"{prefix}{address}"), NONE, scheme="https") == plain
