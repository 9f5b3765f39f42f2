"""A short run of schemathesis against a running hub; `tests/torture` has the long one."""

from __future__ import annotations

import asyncio
import json

import pytest
from radar_audit_hub.openapi import document

from tests.support.api_fuzz import Tokens, fuzz
from tests.support.browsers import signed_in
from tests.support.hub_builder import ORG, HubUnderTest, events_of


@pytest.mark.timeout(600)  # half a minute where nobody else wants the processor
async def test_no_generated_request_gets_an_undocumented_answer(hub: HubUnderTest) -> None:
    await hub.append(*events_of(30))
    tokens = Tokens(hub.owner, await hub.add_cluster(), ORG, (await signed_in(hub)).headers)
    doc = json.loads(document())
    statuses = await asyncio.to_thread(fuzz, hub.url, doc, tokens, 8)
    assert statuses[200] > 10
    assert statuses[400] > 5
