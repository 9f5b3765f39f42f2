"""A program that asks a real API server about tokens, as the hub does, where it can be reached.

Owns the reading of its standard input and what it prints. Started by `test_accounts.py` in the
cluster's network. Prints a verdict for each token, never a token.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from radar_audit_hub.auth.kubernetes_login import KubernetesLogin
from radar_audit_hub.auth.token_review import Account
from radar_audit_hub.errors import UnavailableError
from radar_audit_hub.metrics import Metrics
from radar_audit_hub.outbound import Outbound
from radar_audit_hub.settings_kubernetes import KubernetesSettings


async def verdicts(asked: dict[str, Any]) -> dict[str, str]:
    """Return what is said of each token: an account's name, or why not."""
    settings = KubernetesSettings(
        login=True,
        collectors=tuple(asked["collectors"]),
        api_url=asked["api_url"],
        ca_file=Path(asked["ca_file"]),
        token_file=Path(asked["token_file"]),
    )
    outbound = Outbound()
    login = KubernetesLogin(settings, outbound, Metrics())
    found = {}
    for name, token in asked["tokens"].items():
        try:
            verdict = await login.account(token)
        except UnavailableError:
            found[name] = "unavailable"
        else:
            found[name] = verdict.name if isinstance(verdict, Account) else verdict.reason
    await outbound.close()
    return found


if __name__ == "__main__":
    json.dump(asyncio.run(verdicts(json.load(sys.stdin))), sys.stdout)
