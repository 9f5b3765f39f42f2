"""Guards what Radar is given to trust: our CA for loopback alone, the real one beside it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from radar_audit_collector.capture.gateway.settings import GatewaySettings
from radar_audit_collector.capture.gateway.trust import Trust
from radar_audit_collector.errors import GatewayError

from tests.support.gateway_world import Certificates, tls_server


def settings_in(folder: Path) -> GatewaySettings:
    theirs = Certificates(folder / "theirs")
    return GatewaySettings(
        enabled=True,
        upstream="127.0.0.1:6443",
        upstream_ca_file=theirs.ca_file,
        keys_dir=folder / "keys",
        account_dir=folder / "sa",
        token_dir=folder / "token",
    )


def say_hello(conn: ssl.SSLSocket) -> None:
    conn.sendall(b"hello")
    conn.unwrap()


def certificates(file: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(file.read_bytes())


async def test_radar_gets_our_ca_the_real_one_and_links_to_its_token(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await Trust(settings).prepare()
    ours, real = certificates(settings.account_dir / "ca.crt")
    assert ours == certificates(settings.keys_dir / "ca.crt")[0]
    assert real == certificates(settings.upstream_ca_file)[0]
    for name in ("token", "namespace"):
        link = settings.account_dir / name
        assert link.readlink() == settings.token_dir / name
    settings.token_dir.mkdir()
    (settings.token_dir / "token").write_text("of the day")
    assert (settings.account_dir / "token").read_text() == "of the day"


async def test_keys_are_for_their_owner_and_the_bundle_for_all(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await Trust(settings).prepare()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in settings.keys_dir.iterdir()}
    assert modes == {"ca.key": 0o600, "ca.crt": 0o600, "gateway.pem": 0o600}
    assert stat.S_IMODE((settings.account_dir / "ca.crt").stat().st_mode) == 0o644
    assert b"PRIVATE" not in (settings.account_dir / "ca.crt").read_bytes()


async def test_the_ca_can_vouch_for_loopback_only(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await Trust(settings).prepare()
    (ca,) = certificates(settings.keys_dir / "ca.crt")
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    addresses = {str(name.value) for name in permitted if isinstance(name, x509.IPAddress)}
    assert addresses == {"127.0.0.1/32", "::1/128"}
    leaf = certificates(settings.keys_dir / "gateway.pem")[0]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


async def test_a_strict_client_accepts_the_leaf(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await Trust(settings).prepare()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(settings.keys_dir / "gateway.pem")
    client = ssl.create_default_context(cafile=settings.account_dir / "ca.crt")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("127.0.0.1", "kubernetes.default.svc"):
        with tls_server(serving, say_hello) as server:
            server.accepted = 1  # no relay asks it first
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=client, server_hostname=name
            )
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()


async def test_a_restart_keeps_the_ca_that_radar_has_read(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await Trust(settings).prepare()
    ca, leaf = ((settings.keys_dir / name).read_bytes() for name in ("ca.crt", "gateway.pem"))
    await Trust(settings).prepare()
    assert (settings.keys_dir / "ca.crt").read_bytes() == ca
    assert (settings.keys_dir / "gateway.pem").read_bytes() != leaf


async def test_the_leaf_is_renewed_when_two_thirds_of_its_life_are_over(tmp_path: Path) -> None:
    settings = replace(settings_in(tmp_path), leaf_seconds=3600)
    trust = Trust(settings)
    await trust.prepare()
    before = (settings.keys_dir / "gateway.pem").read_bytes()
    await trust.refresh()
    assert (settings.keys_dir / "gateway.pem").read_bytes() == before
    trust._renew_at -= 2400.5
    await trust.refresh()
    assert (settings.keys_dir / "gateway.pem").read_bytes() != before


async def test_a_new_ca_of_the_api_server_is_handed_on(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    trust = Trust(settings)
    await trust.prepare()
    renewed = Certificates(tmp_path / "renewed")
    shutil.copyfile(renewed.ca_file, settings.upstream_ca_file)
    await trust.refresh()
    ours, real = certificates(settings.account_dir / "ca.crt")
    assert ours == certificates(settings.keys_dir / "ca.crt")[0]
    assert real == certificates(renewed.ca_file)[0]


async def test_a_faulty_ca_of_the_api_server_is_refused_and_the_old_one_stays(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    trust = Trust(settings)
    await trust.prepare()
    before = (settings.account_dir / "ca.crt").read_bytes()
    settings.upstream_ca_file.write_text("nothing")
    with pytest.raises(GatewayError, match="holds no certificate in PEM"):
        await trust.refresh()
    assert (settings.account_dir / "ca.crt").read_bytes() == before


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.keys_dir.write_text("a file")
    with pytest.raises(GatewayError, match="cannot be made"):
        await Trust(settings).prepare()
