"""Makes a cluster's own authority, the certificates of its components, and their kubeconfigs.

Called once for each new cluster of the provider `machine`. The keys never leave the cluster's
folder, which only its owner can read, and end with it.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.network import API_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME, SERVER

_LIFE = dt.timedelta(days=90)
_BACKDATED = dt.timedelta(minutes=5)  # a clock that is set back must not make them invalid
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Identity:
    """Whom a certificate names: the user, its groups, and the names it serves under."""

    user: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    uses: tuple[x509.ObjectIdentifier, ...] = field(default=(_CLIENT,))


IDENTITIES: Mapping[str, Identity] = {
    "apiserver": Identity(
        "kube-apiserver",
        names=(
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ),
        addresses=("127.0.0.1", API_SERVICE_ADDRESS, NODE_ADDRESS),
        uses=(_SERVER,),
    ),
    "kubelet": Identity(
        f"system:node:{NODE_NAME}",
        groups=("system:nodes",),
        names=(NODE_NAME,),
        addresses=("127.0.0.1", NODE_ADDRESS),
        uses=(_CLIENT, _SERVER),
    ),
    "kubelet-client": Identity("kube-apiserver-kubelet-client", groups=("system:masters",)),
    "front-proxy": Identity("front-proxy"),
    "admin": Identity("admin", groups=("system:masters",)),
    "kube-controller-manager": Identity("system:kube-controller-manager"),
    "kube-scheduler": Identity("system:kube-scheduler"),
    "kube-proxy": Identity("system:kube-proxy"),
}
_WITH_KUBECONFIG = ("admin", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy")


def write_certificates(folder: Path, now: dt.datetime) -> None:
    """Write authority, certificates, ServiceAccount keys and kubeconfigs into the empty `folder`.

    `now` is aware; the certificates are valid from just before it for 90 days.
    """
    folder.mkdir(mode=0o700, parents=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, now)
    _write_key(folder / "ca.key", authority_key)
    _write_certificate(folder / "ca.crt", authority)
    for name, identity in IDENTITIES.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue(identity, key, authority, authority_key, now)
        _write_key(folder / f"{name}.key", key)
        _write_certificate(folder / f"{name}.crt", certificate)
    tokens_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write_key(folder / "service-accounts.key", tokens_key)
    (folder / "service-accounts.pub").write_bytes(
        tokens_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    for name in _WITH_KUBECONFIG:
        user = {
            "client-certificate-data": _base64(folder / f"{name}.crt"),
            "client-key-data": _base64(folder / f"{name}.key"),
        }
        cluster = {"server": SERVER, "certificate-authority-data": _base64(folder / "ca.crt")}
        write_kubeconfig(folder / f"{name}.kubeconfig", cluster, user)


def write_kubeconfig(target: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    """Write a kubeconfig (readable by its owner only) of one cluster, one user, one context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": dict(cluster)}],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    }
    target.touch(mode=0o600)
    target.write_text(json.dumps(document, indent=1), encoding="utf-8")


def _authority(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "radar-audit test cluster")])
    return (
        _builder(name, name, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _issue(
    identity: Identity,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
) -> x509.Certificate:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    subject = x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.user)])
    builder = (
        _builder(subject, authority.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(identity.uses), critical=False)
        # Verifiers that are strict (Python's own from 3.13 on) want to see who signed it.
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names]
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in identity.addresses]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
