"""Minutes of schemathesis against a running hub on each database: no 5xx, nothing undocumented."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from radar_audit_hub.openapi import document

from tests.support.api_fuzz import Tokens, fuzz
from tests.support.hub_builder import ORG, events_of, running_hub

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]
EXAMPLES = 90


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_long_run_finds_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_dsn")
    # Without it destinations with a secret are answered 503 on PostgreSQL, and never looked at.
    key = base64.b64encode(bytes(32)).decode()
    async with running_hub(url, migrated=False, secrets_key=key) as hub:
        await hub.append(*events_of(300))
        tokens = Tokens(hub.owner, await hub.add_cluster(), ORG)
        doc = json.loads(document())
        statuses = await asyncio.to_thread(fuzz, hub.url, doc, tokens, EXAMPLES)
        assert statuses[200] > EXAMPLES
        assert statuses[400] > EXAMPLES // 2
