"""Rubbish in the form of a ServiceAccount's token is not passed on to the API server for ever."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from radar_audit_hub.bootstrap import CLUSTER_TOKEN_SCOPES
from radar_audit_hub.settings_kubernetes import KubernetesSettings
from radar_audit_hub.store.kubernetes_login import put_login

from tests.support.collector_posts import a_heartbeat
from tests.support.hub_builder import ORG, running_hub
from tests.support.token_review_server import account_token, token_review_server

RADAR, LIMIT = "radar/radar", 60


async def test_address_at_its_limit_has_the_api_server_asked_no_more(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with token_review_server(tmp_path) as server:
        settings = KubernetesSettings(
            login=True,
            collectors=(RADAR,),
            api_url=server.url,
            ca_file=server.ca_file,
            token_file=server.token_file,
        )
        async with running_hub(sqlite_url, migrated=True, kubernetes=settings) as hub:
            await hub.add_cluster(scopes=CLUSTER_TOKEN_SCOPES)
            async with hub.hub.db.write() as connection:
                await put_login(connection, ORG, "cl_1", CLUSTER_TOKEN_SCOPES, hub.clock.now_ms)

            async def status_of(token: str) -> int:
                body = a_heartbeat()
                answer = await hub.send("POST", "/api/agent/heartbeat", token=token, json=body)
                return answer.status

            known = server.add(RADAR)
            assert await status_of(known) == 200
            found = Counter([await status_of(account_token(RADAR)) for _ in range(LIMIT + 20)])
            assert found == {401: LIMIT, 429: 20}
            assert len(server.asked) == 1 + LIMIT
            assert await status_of(known) == 200
            hub.clock.now_ms += 60_000
            assert await status_of(server.add(RADAR)) == 200
