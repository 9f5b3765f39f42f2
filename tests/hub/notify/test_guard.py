"""A delivery connects to the address that was checked, under the name that was asked for."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from radar_audit_hub.notify.addresses import Allowed
from radar_audit_hub.notify.deliveries import MAX_ANSWER_BYTES, Deliveries
from radar_audit_hub.notify.guard import AddressInfo, Guard
from radar_audit_hub.outbound import OutboundError, RefusedAddressError
from radar_audit_hub.settings_notify import NotifySettings

from tests.support.notify_world import notify_settings
from tests.support.receivers import Receiver, Reply, receiver

PUBLIC = "93.184.216.34"


class FakeNames:
    """A name server whose answers change: each look-up takes the next, the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.asked += 1
        return [
            (
                socket.AF_INET6 if ":" in text else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (text, port),
            )
            for text in found
        ]


@pytest.fixture
def settings(authority: trustme.CA, tmp_path: Path) -> NotifySettings:
    return notify_settings(authority, tmp_path)


@pytest.fixture
async def made() -> AsyncIterator[list[Deliveries]]:
    found: list[Deliveries] = []
    yield found
    for one in found:
        await one.close()


async def _post(deliveries: Deliveries, url: str, made: list[Deliveries]) -> Any:
    made.append(deliveries)
    return await deliveries.post(url, headers={}, body=b"{}")


async def test_name_stays_in_host_and_sni_and_the_certificate_is_held_to_it(
    inbox: Receiver, settings: NotifySettings, made: list[Deliveries]
) -> None:
    names = FakeNames(["127.0.0.1"])
    url = f"https://hooks.example.com:{inbox.port}/x"
    answer = await _post(Deliveries(settings, names), url, made)
    (got,) = inbox.got
    assert (answer.status, names.asked) == (200, 1)
    assert got.headers["Host"] == f"hooks.example.com:{inbox.port}"
    assert got.name == "hooks.example.com"
    with pytest.raises(OutboundError, match="certificate"):
        await _post(Deliveries(settings, names), f"https://other.example.com:{inbox.port}/x", made)
    assert len(inbox.got) == 1


async def test_certificate_of_a_stranger_is_refused(
    inbox: Receiver, settings: NotifySettings, made: list[Deliveries]
) -> None:
    strict = replace(settings, ca_file=None)
    with pytest.raises(OutboundError, match="certificate"):
        await _post(Deliveries(strict), inbox.url, made)
    assert inbox.got == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        [PUBLIC, "127.0.0.1"],  # one that is refused is enough
        ["::ffff:127.0.0.1"],
        ["::1"],
        ["64:ff9b::7f00:1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
    ],
)
async def test_name_that_leads_inside_is_refused_before_anything_is_connected(
    inbox: Receiver, made: list[Deliveries], addresses: list[str]
) -> None:
    with pytest.raises(OutboundError, match="refused: its address is"):
        await _post(
            Deliveries(NotifySettings(), FakeNames(addresses)),
            f"https://hooks.example.com:{inbox.port}/",
            made,
        )
    assert (inbox.got, inbox.names) == ([], [])


async def test_name_that_changes_its_address_between_check_and_connection_gains_nothing(
    inbox: Receiver, made: list[Deliveries], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[str] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        connected.append(address[0])
        if address[0] == PUBLIC:
            raise ConnectionRefusedError
        real(self, address)

    async def sock_connect(_loop: object, sock: socket.socket, address: Any) -> None:
        connect(sock, address)

    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", sock_connect)
    names = FakeNames([PUBLIC], ["127.0.0.1"])
    deliveries = Deliveries(NotifySettings(), names)
    url = f"https://rebinding.example.com:{inbox.port}/"
    with pytest.raises(OutboundError, match="no answer"):
        await _post(deliveries, url, made)
    # Looked up once, and connected to what was found then.
    assert (connected, names.asked) == ([PUBLIC], 1)
    # The next delivery asks again, finds the other answer, and refuses it.
    with pytest.raises(OutboundError, match="refused"):
        await _post(deliveries, url, made)
    assert (connected, inbox.got) == ([PUBLIC], [])


@pytest.mark.parametrize("addresses", [[PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], ["::1"]])
async def test_name_with_one_address_inside_leads_nowhere(addresses: list[str]) -> None:
    guard = Guard(Allowed(), "https", FakeNames(addresses))
    with pytest.raises(RefusedAddressError):
        await guard.resolve("hooks.example.com", 443)
    await guard.close()


async def test_address_is_judged_once_more_when_its_socket_is_made() -> None:
    guard = Guard(Allowed(), "https")
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 443))
    with pytest.raises(RefusedAddressError):
        guard.make_socket(info)
    guard.make_socket((*info[:4], (PUBLIC, 443))).close()
    await guard.close()


async def test_proxy_of_the_environment_is_not_asked(
    inbox: Receiver,
    settings: NotifySettings,
    made: list[Deliveries],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert (await _post(Deliveries(settings), inbox.url, made)).status == 200


async def test_http_goes_to_an_allowed_network_and_nowhere_else(
    settings: NotifySettings, made: list[Deliveries]
) -> None:
    async with receiver(None) as plain:
        url = f"http://hooks.example.com:{plain.port}/"
        allowed = Deliveries(settings, FakeNames(["127.0.0.1"]))
        assert (await _post(allowed, url, made)).status == 200
        with pytest.raises(OutboundError, match="http is for allowed networks"):
            await _post(Deliveries(settings, FakeNames([PUBLIC])), url, made)
        with pytest.raises(OutboundError, match="https"):
            await _post(Deliveries(NotifySettings(), FakeNames([PUBLIC])), url, made)


async def test_unknown_name_is_said_to_be_one(
    settings: NotifySettings, made: list[Deliveries]
) -> None:
    def unknown(_host: str, _port: int) -> Sequence[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name: secret.example.com")

    with pytest.raises(OutboundError) as caught:
        await _post(Deliveries(settings, unknown), "https://secret.example.com/path", made)
    assert str(caught.value) == "no answer: the name of the host is not known"


async def test_end_of_a_delivery_does_not_wait_for_the_rest_of_an_answer(
    inbox: Receiver, settings: NotifySettings, made: list[Deliveries]
) -> None:
    inbox.replies.append(Reply(how="gigabyte"))
    answer = await _post(Deliveries(settings), inbox.url, made)
    assert (len(answer.body), answer.is_cut) == (MAX_ANSWER_BYTES, True)


async def test_end_of_the_hub_lets_go_of_the_threads_that_look_names_up(
    inbox: Receiver, settings: NotifySettings
) -> None:
    def looking() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one.name.startswith("delivery names")}

    before = looking()  # of tests before this one, which end at any time
    deliveries = Deliveries(settings, FakeNames(["127.0.0.1"]))
    await deliveries.post(f"https://localhost:{inbox.port}/", headers={}, body=b"{}")
    (mine,) = looking() - before
    await deliveries.close()
    await inbox.wait_for(lambda: not mine.is_alive())
