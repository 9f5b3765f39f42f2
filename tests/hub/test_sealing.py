"""Secrets at rest open with their key, for their owner, and not otherwise."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from radar_audit_hub.sealing import KEY_FILE, Sealer, SealError, key_beside, read_key


def test_what_is_sealed_opens_for_the_same_owner_only() -> None:
    sealer = Sealer(os.urandom(32), os.urandom)
    sealed = sealer.seal(b"canary", "org_x/k8s:a")
    assert b"canary" not in sealed
    assert sealer.open(sealed, "org_x/k8s:a") == b"canary"
    assert sealer.seal(b"canary", "org_x/k8s:a") != sealed, "a fresh nonce each"
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong in (sealed[:-1], changed, b"\x02" + sealed[1:], b""):
        with pytest.raises(SealError):
            sealer.open(wrong, "org_x/k8s:a")
    with pytest.raises(SealError):
        sealer.open(sealed, "org_x/k8s:b")
    with pytest.raises(SealError, match="RADAR_AUDIT_HUB_SECRETS_KEY"):
        Sealer(os.urandom(32), os.urandom).open(sealed, "org_x/k8s:a")


@pytest.mark.parametrize("text", ["", "no base64!", base64.b64encode(b"short").decode()])
def test_key_of_another_form_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(SealError, match="32 random bytes in base64"):
        read_key(text)


def test_key_beside_the_database_is_made_once_for_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    key = key_beside(folder, os.urandom)
    assert key_beside(folder, os.urandom) == key
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]
    (folder / KEY_FILE).write_text("damaged")
    with pytest.raises(SealError):
        key_beside(folder, os.urandom)
