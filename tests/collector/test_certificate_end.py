"""Guards that the end of a certificate is read as others read it, and what that costs."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from radar_audit_collector.capture.certificate_end import end_of

AUTHORITY = trustme.CA()


@pytest.mark.parametrize(
    "end",
    [
        datetime(2026, 12, 1, 13, 14, 15, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),  # from here on with four digits
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),  # RFC 5280: no end
    ],
)
def test_end_is_what_another_reader_reads(end: datetime) -> None:
    leaf = AUTHORITY.issue_cert("localhost", not_after=end)
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    known = x509.load_pem_x509_certificate(chain).not_valid_after_utc
    assert known == end
    assert end_of("subject=localhost\n" + chain.decode()) == known.timestamp()


@pytest.mark.parametrize("keep", [0, 1, 5, 40, 120])
def test_what_is_no_certificate_is_said_to_be_none(keep: int) -> None:
    pem = AUTHORITY.cert_pem.bytes().decode()
    with pytest.raises(ValueError, match="certificate"):
        end_of(pem[:keep])
    lines = pem.splitlines()
    cut = [lines[0], lines[1][: keep // 4 * 4], lines[-1]]
    with pytest.raises(ValueError, match="certificate"):
        end_of("\n".join(cut))


def test_collector_does_not_carry_a_library_for_certificates() -> None:
    """It would be a fifth of its memory; what needs one runs as a process of its own."""
    code = "import sys, radar_audit_collector.app; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
