"""The whole line on the recorded log: both sources, a real collector, a real hub, every output.

Guards the main promise (a terminal session becomes its rows, once) and the
privacy promise: no canary and no argument of a command in a log at debug level,
the spool, the database, the metrics, an error's body or the API's document.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.audit_lines import event_list
from tests.support.collector_process import CollectorProcess
from tests.support.hub_process import HubProcess

RECORDED = Path(__file__).parents[2] / "scripts" / "demo" / "audit-log.jsonl"
TOKEN = "webhook-token-of-this-test"
# Words that say nothing alone: they stand in other text too, so they cannot be hunted.
_EVERYDAY = {"id", "sh", "-c", "cat", "12", "sleep"}
_SESSIONS = {
    "9ab2aa80": 1554, "eefcd1ac": 1637, "fa8ecac8": 1532, "66984a8b": 1629, "264e3cbe": 1511,
}  # fmt: skip
_DENIED = 4
_WAIT_SECONDS = 90


@dataclass
class Outcome:
    """All that came out of the line: rows, and texts and files to hunt in."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)


@asynccontextmanager
async def _line(folder: Path) -> AsyncIterator[tuple[HubProcess, CollectorProcess, str]]:
    hub = HubProcess(data_dir=folder / "hub")
    code, out, err = await hub.command(
        "init", "--org-id", "org_x", "--cluster-name", "demo", "-o", "json"
    )
    assert code == 0, err
    made = json.loads(out)
    log = folder / "audit.log"
    log.write_bytes(RECORDED.read_bytes())
    async with hub:
        collector = CollectorProcess(
            folder / "collector",
            hub.url,
            token=made["cluster"]["token"],
            logfile_path=log,
            webhook_enabled=True,
            webhook_listen="127.0.0.1:0",
            webhook_insecure_loopback=True,
            webhook_token=TOKEN,
            radar_service_account="radar/radar",
        )
        await collector.start()
        try:
            yield hub, collector, made["pat"]["token"]
        finally:
            await collector.kill()


async def _get(client: aiohttp.ClientSession, url: str, **headers: str) -> bytes:
    async with client.get(url, headers=headers) as answer:
        return await answer.read()


async def _rows(
    client: aiohttp.ClientSession, audit: str, owner: dict[str, str]
) -> list[dict[str, Any]]:
    page = json.loads(await _get(client, f"{audit}?limit=500", **owner))
    rows = [row for row in page["events"] if row["target_type"] in ("pod", "cluster")]
    return [row for row in rows if row["action"] != "cluster.created"]


async def _run(folder: Path) -> Outcome:
    outcome = Outcome()
    lines = RECORDED.read_bytes().splitlines()
    async with _line(folder) as (hub, collector, pat), aiohttp.ClientSession() as client:
        owner = {"Authorization": f"Bearer {pat}"}
        for start in range(0, len(lines), 40):
            part = lines[start : start + 40][::-1]
            sent = {"Authorization": f"Bearer {TOKEN}"}
            async with client.post(
                collector.webhook_url, data=event_list(part), headers=sent
            ) as answer:
                assert answer.status == 200
        # Broken bodies with the canary in them: what the error answers must not repeat.
        for body in (lines[0][:-20], b'{"items":' + lines[0], event_list([lines[0][:-5]])):
            async with client.post(
                collector.webhook_url, data=body, headers={"Authorization": f"Bearer {TOKEN}"}
            ) as answer:
                outcome.texts[f"webhook error {len(body)}"] = await answer.read()
        audit = f"{hub.url}/api/orgs/org_x/audit"
        async with asyncio.timeout(_WAIT_SECONDS):
            while True:
                outcome.rows = await _rows(client, audit, owner)
                if len(outcome.rows) >= 2 * len(_SESSIONS) + _DENIED:
                    break
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)  # room for a double to come
        outcome.rows = await _rows(client, audit, owner)
        for form in ("csv", "ndjson"):
            outcome.texts[form] = await _get(client, f"{audit}?format={form}", **owner)
        outcome.texts["openapi"] = await _get(client, f"{hub.url}/api/openapi.json")
        outcome.texts["error"] = await _get(client, f"{audit}?q=created:x", **owner)
        for name, address in (("hub", hub.probes_port), ("collector", collector.probes_port)):
            url = f"http://127.0.0.1:{address}/metrics"
            outcome.texts[f"{name} metrics"] = await _get(client, url)
    outcome.texts["hub log"] = hub.output.encode()
    outcome.texts["collector log"] = collector.output.encode()
    return outcome


def _files(folder: Path) -> dict[str, bytes]:
    """Everything that the two programs wrote below `folder`; the audit log is what they read."""
    found = [p for p in folder.rglob("*") if p.is_file() and p.name != "audit.log"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _arguments() -> set[str]:
    words = {"CANARY"}
    for line in RECORDED.read_text().splitlines():
        query = urllib.parse.urlsplit(json.loads(line)["requestURI"]).query
        words |= {value for key, value in urllib.parse.parse_qsl(query) if key == "command"}
        words |= {part for part in query.split("&") if part.startswith("command=")}
    return words - _EVERYDAY


@pytest.mark.timeout(240)
async def test_recorded_sessions_become_fourteen_rows_and_no_argument_gets_anywhere(
    tmp_path: Path,
) -> None:
    outcome = await _run(tmp_path)
    outcome.texts |= _files(tmp_path)
    ended = [r for r in outcome.rows if r["action"] == "pod.exec_ended"]
    durations = {r["metadata"]["session_id"][:8]: r["metadata"]["duration_ms"] for r in ended}
    assert {k: abs(v - _SESSIONS[k]) <= 15 for k, v in durations.items()} == dict.fromkeys(
        _SESSIONS, True
    )
    started = [r for r in outcome.rows if r["action"] == "pod.exec_started"]
    assert {r["metadata"]["session_id"][:8] for r in started} == set(_SESSIONS)
    denied = [r for r in outcome.rows if r["action"] == "cluster.action_denied"]
    assert (len(started), len(ended), len(denied)) == (5, 5, _DENIED)
    assert {r["metadata"]["role"] for r in denied} <= {"viewer", "owner", "member"}
    words = _arguments()
    assert {"CANARY", "sleep 12; echo end", "command=sh"} <= words
    assert b'"level": "debug"' in outcome.texts["collector log"]
    assert b'"level": "debug"' in outcome.texts["hub log"]
    assert any(name.startswith("collector/") for name in outcome.texts)
    assert any(name.startswith("hub/") for name in outcome.texts)
    for name, text in outcome.texts.items():
        assert not [word for word in words if word.encode() in text], name
