"""The verifiers that the documentation shows take what the hub signs and nothing else."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright._impl._driver import compute_driver_executable
from radar_audit_hub.notify.signing import signatures

PAGE = Path(__file__).parents[3] / "docs" / "notifications.md"
SEEDS = (b"n" * 32, b"o" * 32)  # a new key and the previous one
BODY = '{"title": "Grüße"}'.encode()


def block(language: str) -> str:
    """Return the code of the page in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def public_key(seed: bytes) -> str:
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return "whpk_" + base64.b64encode(raw).decode()


def headers(timestamp: int) -> dict[str, str]:
    keys = ["whsk_" + base64.b64encode(seed).decode() for seed in SEEDS]
    secrets = ["whsec_" + base64.b64encode(b"s" * 32).decode()]
    signed = signatures("msg_1", timestamp, BODY, secrets=secrets, keys=keys)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signed,
    }


def by_python(sent: dict[str, str], body: bytes, key: str) -> bool:
    scope: dict[str, Any] = {}
    exec(block("python"), scope)  # it is the very code that readers copy
    try:
        scope["verify"](sent, body, key)
    except ValueError:
        return False
    return True


def by_javascript(sent: dict[str, str], body: bytes, key: str) -> bool:
    node, _ = compute_driver_executable()
    call = (
        "try {"
        f" verifyWebhook({json.dumps(sent)}, Buffer.from('{body.hex()}', 'hex'), '{key}');"
        " console.log('taken') } catch (error) { console.log(error.message) }"
    )
    done = subprocess.run(
        [node, "--input-type=module", "-e", block("js") + call],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("taken", "this is not from the hub, or too old")
    return done.stdout.strip() == "taken"


@pytest.mark.parametrize("takes", [by_python, by_javascript])
def test_documented_verifier_takes_what_the_hub_signed_and_nothing_else(
    takes: Callable[[dict[str, str], bytes, str], bool],
) -> None:
    now = int(time.time())
    for seed in SEEDS:
        assert takes(headers(now), BODY, public_key(seed))
    assert not takes(headers(now), BODY + b" ", public_key(SEEDS[0]))
    assert not takes(headers(now - 600), BODY, public_key(SEEDS[0]))
    assert not takes(headers(now), BODY, public_key(b"x" * 32))
    assert not takes({**headers(now), "webhook-id": "msg_2"}, BODY, public_key(SEEDS[0]))
