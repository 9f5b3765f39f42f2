"""The log of a deleted organization stays readable on the server, until retention lets it go."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from radar_audit_hub.changes import changing_offline
from radar_audit_hub.main import main
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.members import update_org

from tests.support.log_rows import DAY_MS, NOW_MS


@pytest.fixture
def deleted(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a deleted org on the free plan; the test's clock stands at its end."""
    monkeypatch.setenv("RADAR_AUDIT_HUB_DATABASE_URL", sqlite_url)
    monkeypatch.setattr("radar_audit_hub.command_line.time.time_ns", lambda: NOW_MS * 1_000_000)
    made = CliRunner().invoke(main, ["init", "--org-id", "org_x", "--plan", "free"])
    assert made.exit_code == 0, made.output

    async def delete() -> None:
        db = await Database.open(sqlite_url)
        async with changing_offline(db, NOW_MS + 1, os.urandom) as change:
            org = await change.lock("org_x")
            await update_org(change.conn, org)
            await change.conn.exec_driver_sql("UPDATE org SET deleted_at = 1")
            change.note("org_x", "org.deleted", "org_x", {"name": org.name})
        await db.close()

    asyncio.run(delete())
    return "org_x"


def _log(*options: str) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["log", *options])
    return found.exit_code, found.output


def test_log_of_a_deleted_org_is_printed(deleted: str) -> None:
    code, output = _log("--org-id", deleted)
    events = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert {event["action"] for event in events} >= {"org.created", "org.deleted", "pat.created"}
    code, output = _log("--org-id", deleted, "--format", "csv")
    assert output.startswith("id,created_at,action")
    assert len(output.splitlines()) == 1 + len(events)


def test_log_ends_with_the_retention_of_the_orgs_plan(
    deleted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later_ms = NOW_MS + 7 * DAY_MS + 2
    monkeypatch.setattr("radar_audit_hub.command_line.time.time_ns", lambda: later_ms * 1_000_000)
    assert _log("--org-id", deleted) == (0, "")


def test_purge_goes_on_for_a_deleted_org(deleted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later_ms = NOW_MS + 7 * DAY_MS + 2
    monkeypatch.setattr("radar_audit_hub.command_line.time.time_ns", lambda: later_ms * 1_000_000)
    purged = CliRunner().invoke(main, ["purge", "-o", "json"])
    assert purged.exit_code == 0, purged.output
    assert json.loads(purged.output)["rows"] == 5


def test_unknown_org_is_told(deleted: str) -> None:
    code, output = _log("--org-id", "org_nope")
    assert code == 1
    assert "there never was an organization org_nope" in output


def test_file_of_a_default_database_is_not_needed(tmp_path: Path) -> None:
    env = {"RADAR_AUDIT_HUB_DATA_DIR": str(tmp_path / "new")}
    found = CliRunner().invoke(main, ["log", "--org-id", "org_x"], env=env)
    assert found.exit_code == 1
    assert "run `radar-audit-hub migrate`" in found.output
