"""Makes the gateway's certificate authority and its leaf: a process that ends at once.

Owns the form of both certificates. Run by `trust` as
`python -m radar_audit_collector.capture.gateway.authority KEYS_DIR LEAF_SECONDS`, so
that no process that stays pays for the crypto library. The CA is made once and lives
as long as the folder (a memory volume of the pod); the leaf is made anew with each
run. Prints when the leaf ends (Unix seconds). Never shows a key.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .config import LEAF_FILE

CA_KEY_FILE = "ca.key"
CA_FILE = "ca.crt"

_CA_DAYS = 3650  # longer than any pod; it ends with the pod's memory volume
_BACKDATE = timedelta(hours=1)  # for a clock that is behind
_ADDRESSES = ("127.0.0.1", "::1")
# What Radar may call its API server, wherever it is sent to loopback.
_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


def main() -> int:
    """Make what is missing; return the exit code."""
    keys_dir, leaf_seconds = Path(sys.argv[1]), float(sys.argv[2])
    os.umask(0o077)
    now = datetime.now(UTC)
    key, certificate = load_or_make_ca(keys_dir, now)
    ends = make_leaf(keys_dir, key, certificate, now, timedelta(seconds=leaf_seconds))
    sys.stdout.write(f"{int(ends.timestamp())}\n")
    return 0


def load_or_make_ca(
    keys_dir: Path, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return the CA of the folder, made first if there is none. Raises OSError, ValueError."""
    key_file, ca_file = keys_dir / CA_KEY_FILE, keys_dir / CA_FILE
    if key_file.exists() and ca_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} holds another kind of key than the gateway makes")
        return key, x509.load_pem_x509_certificate(ca_file.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign_ca(key, now)
    replace_file(key_file, _pem(key))
    replace_file(ca_file, certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def make_leaf(
    keys_dir: Path,
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    now: datetime,
    life: timedelta,
) -> datetime:
    """Write a new leaf and its key; return when it ends. Raises OSError."""
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.IPAddress(ip_address(each)) for each in _ADDRESSES]
    names += [x509.DNSName(each) for each in _NAMES]
    ends = now + life
    certificate = (
        _builder("Radar Audit gateway", key.public_key(), now, ends)
        .issuer_name(ca.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + _pem(key)
    replace_file(keys_dir / LEAF_FILE, pem)
    return ends


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, so that a reader never sees a part of it."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(draft, "xb", opener=_private) as file:
        file.write(content)
    draft.replace(path)


def _sign_ca(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # Whoever steals the key can vouch for loopback only, to whoever trusts this CA.
    permitted: list[x509.GeneralName] = [x509.DNSName(each) for each in _NAMES]
    permitted += [x509.IPAddress(ip_network(each)) for each in _ADDRESSES]
    builder = _builder(
        "Radar Audit gateway CA", key.public_key(), now, now + timedelta(days=_CA_DAYS)
    )
    return (
        builder.issuer_name(_name("Radar Audit gateway CA"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    common_name: str, key: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(ends)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


if __name__ == "__main__":
    sys.exit(main())
