"""Guards the certificates of a cluster: whom they name, who signed them, who can read them."""

from __future__ import annotations

import datetime as dt
import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID

from tests.cluster.certificates import IDENTITIES, write_certificates

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("cluster") / "certificates"
    write_certificates(made, NOW)
    return made


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_api_server_is_valid_under_every_name_it_is_called_by(folder: Path) -> None:
    store = verification.Store([certificate(folder / "ca.crt")])
    builder = verification.PolicyBuilder().store(store).time(NOW)
    served = certificate(folder / "apiserver.crt")
    for name in ("localhost", "kubernetes.default.svc"):
        builder.build_server_verifier(x509.DNSName(name)).verify(served, [])


def test_groups_and_user_stand_in_the_subject(folder: Path) -> None:
    subject = certificate(folder / "kubelet.crt").subject
    named = {
        oid: [value.value for value in subject.get_attributes_for_oid(oid)]
        for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    }
    assert named[NameOID.ORGANIZATION_NAME] == ["system:nodes"]
    assert named[NameOID.COMMON_NAME] == ["system:node:node-1"]


def test_keys_fit_their_certificates(folder: Path) -> None:
    for name in IDENTITIES:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")


def test_nobody_else_reads_what_is_secret(folder: Path) -> None:
    secret = [*folder.glob("*.key"), *folder.glob("*.kubeconfig")]
    assert len(secret) > 10
    assert not [path.name for path in secret if path.stat().st_mode & 0o077]
    assert folder.stat().st_mode & 0o077 == 0


def test_a_kubeconfig_has_one_context(folder: Path) -> None:
    admin = json.loads((folder / "admin.kubeconfig").read_text())
    assert admin["current-context"] == admin["contexts"][0]["name"]
    assert admin["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
