"""The program itself: a hub process that is killed, stopped, misconfigured, and its commands."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from click.testing import CliRunner
from radar_audit_hub.main import main
from radar_audit_hub.store.database import Database

from tests.support.collector_posts import INGEST_PATH, a_batch, a_start, stored_rows
from tests.support.hub_process import PREFIX, HubProcess

JOBS = (
    "audit.access_log",
    "clusters.silence",
    "notices.job",
    "notify.following.job",
    "notify.sending.job",
    "outbox.job",
    "policy.job",
    "retention.job",
)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command sets the root logger up for its process, which here is the tests' own."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers
    yield
    root.setLevel(level)
    root.handlers = handlers
    logging.captureWarnings(capture=False)
    logging.raiseExceptions = True


def run(folder: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    env: dict[str, str | None] = {f"{PREFIX}DATA_DIR": str(folder)}
    env |= {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
    result = CliRunner().invoke(main, arguments, env=env, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def init(folder: Path, *arguments: str) -> dict[str, Any]:
    code, out, err = run(folder, "init", "-o", "json", *arguments)
    assert code == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


async def _post(
    session: aiohttp.ClientSession, hub: HubProcess, token: str, events: list[dict[str, Any]]
) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.post(
        hub.url + INGEST_PATH, json=a_batch(*events), headers=headers
    ) as answer:
        return answer.status


def _now_start(session: str) -> dict[str, Any]:
    """Return a start of just now: the process has a clock of its own."""
    return a_start(session, at_ms=time.time_ns() // 1_000_000)


async def test_killed_hub_leaves_a_log_without_gap_and_repeats_make_no_double(
    database_url: str,
) -> None:
    hub = HubProcess(database_url=database_url)
    code, out, err = await hub.command("init", "-o", "json")
    assert code == 0, err
    created = json.loads(out)
    events = [_now_start(f"s-{n}") for n in range(600)]
    batches = [events[n : n + 30] for n in range(0, 600, 30)]
    pauses = random.Random(7)
    async with hub, aiohttp.ClientSession() as session:
        for kill in range(2):
            sending = [
                asyncio.create_task(_post(session, hub, created["cluster"]["token"], batch))
                for batch in batches[kill * 5 :]
            ]
            await asyncio.sleep(pauses.uniform(0.0, 0.15))
            await hub.kill()
            for task in sending:
                with suppress(aiohttp.ClientError):
                    await task
            await hub.start()
        for batch in batches:
            assert await _post(session, hub, created["cluster"]["token"], batch) == 200
        assert await hub.stop() == 0
    db = await Database.open(database_url)
    rows = await stored_rows(db, created["org"]["id"])
    await db.close()
    assert [row["seq"] for row in rows] == list(range(604))
    keys = [row["source_key"] for row in rows if row["source_key"]]
    assert len(keys) == len(set(keys)) == 600
    secrets = (created["cluster"]["token"], created["pat"]["token"])
    assert hub.lines
    assert not [secret for secret in secrets if secret[4:] in hub.output]


async def says(hub: HubProcess, status: int, text: str) -> None:
    """Wait until the hub says so of itself: on a busy machine a check may take too long."""
    async with asyncio.timeout(60):
        while await hub.probe("/readyz") != (status, text):  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.05)


def troubled(hub: HubProcess) -> set[str]:
    """Return who warned of something in the hub's log, but for checks that took too long."""
    lines = [line for line in hub.lines if line["level"] in {"warning", "error"}]
    return {line["logger"] for line in lines if line["message"] != "readiness check failed"}


async def test_serving_hub_is_ready_and_ends_well_at_sigterm(tmp_path: Path) -> None:
    async with HubProcess(data_dir=tmp_path / "fresh") as hub:
        await says(hub, 200, "ok\n")
        status, metrics = await hub.probe("/metrics")
        assert status == 200
        assert "radar_audit_hub_ingest_events" in metrics
        soft, _ = psutil.Process(hub.pid).rlimit(psutil.RLIMIT_CORE)
        assert soft in {0, 1}
        assert not troubled(hub)
        assert (await hub.command("migrate", "--down-to", "base", "--yes"))[0] == 0
        await says(hub, 503, "failing: schema\n")
        assert await hub.stop() == 0
    # Without their tables the jobs may complain, and nobody else.
    assert troubled(hub) <= {f"radar_audit_hub.{name}" for name in JOBS}


async def test_old_schema_is_refused_with_the_command_to_type(tmp_path: Path) -> None:
    hub = HubProcess(data_dir=tmp_path, migrate="false")
    code, _, err = await hub.command("serve")
    assert code == 1
    assert "radar-audit-hub migrate" in err
    assert "Traceback" not in err


async def test_taken_address_is_told_in_a_sentence(tmp_path: Path) -> None:
    async with HubProcess(data_dir=tmp_path) as hub:
        code, _, err = await hub.command("serve")
    assert code == 1
    assert f"error: RADAR_AUDIT_HUB_PROBES_LISTEN is 127.0.0.1:{hub.probes_port}, where" in err
    assert "Address already in use" in err
    assert "Traceback" not in err


async def test_address_that_is_not_this_machines_is_no_fault_of_the_database(
    tmp_path: Path,
) -> None:
    hub = HubProcess(data_dir=tmp_path, listen="192.0.2.1:8080")
    code, _, err = await hub.command("serve")
    assert code == 1
    assert "RADAR_AUDIT_HUB_LISTEN is 192.0.2.1:8080, where it cannot listen: Cannot assign" in err


async def test_database_that_cannot_be_used_is_told_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "hub.db").mkdir()
    code, _, err = await HubProcess(data_dir=tmp_path).command("migrate")
    assert (code, "cannot be used (SQLITE_CANTOPEN)" in err) == (1, True)
    assert "Traceback" not in err


def test_init_makes_what_a_quick_start_needs(tmp_path: Path) -> None:
    created = init(tmp_path, "--org-id", "org_x", "--email", "Alice@Acme.com", "--plan", "free")
    assert created["created"] is True
    assert created["org"] == {"id": "org_x", "name": "My organization", "plan": "free"}
    assert created["owner"]["email"] == "alice@acme.com"
    assert created["pat"]["token"].startswith("rhp_")
    assert created["cluster"]["token"].startswith("rhc_")


def test_init_shows_secrets_once_on_standard_output_only(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, "init")
    assert (code, err) == (0, "")
    assert "rhp_" in out
    assert "rhc_" in out
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"rhp_" not in stored
    assert b"rhc_" not in stored


def test_second_init_is_refused_with_a_hint(tmp_path: Path) -> None:
    init(tmp_path, "--org-id", "org_x")
    for arguments in ((), ("--org-id", "org_x")):
        code, out, err = run(tmp_path, "init", *arguments)
        assert (code, out) == (1, "")
        assert "error: the organization org_x exists already" in err
        assert "--if-missing" in err
    again = init(tmp_path, "--org-id", "org_x", "--if-missing")
    assert again == {
        "created": False,
        "org": {"id": "org_x", "name": "My organization", "plan": "enterprise"},
    }
    assert init(tmp_path, "--org-id", "org_y")["created"] is True


def test_member_is_added_and_listed(tmp_path: Path) -> None:
    init(tmp_path)
    code, out, _ = run(
        tmp_path,
        *("member", "add", "--email", "Bob@Acme.com", "--role", "auditor"),
        *("--pat", "cli", "--pat-days", "30", "-o", "json"),
    )
    assert code == 0
    added = json.loads(out)
    assert added["member"]["role"] == "auditor"
    assert added["pat"]["token"].startswith("rhp_")
    code, out, _ = run(tmp_path, "member", "list")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["EMAIL", "ROLE"],
        ["bob@acme.com", "auditor"],
        ["owner@localhost", "owner"],
    ]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("init", "--org-id", "acme"), "org_ and 1 to 60 letters"),
        (("init", "--cluster-id", "prod"), "cl_ and 1 to 60 letters"),
        (("init", "--email", "alice"), "such as alice@example.com"),
        (("init", "--org-name", " "), "1 to 100 printable characters"),
        (("member", "list"), "run `radar-audit-hub migrate`"),
        (("migrate", "--check"), "run `radar-audit-hub migrate`"),
    ],
)
def test_what_cannot_be_done_is_told_with_what_would_be_right(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(tmp_path, *arguments)
    assert (code, out) == (1, "")
    assert words in err


def test_member_commands_ask_for_the_org_where_there_are_several(tmp_path: Path) -> None:
    run(tmp_path, "migrate")
    assert "no organization yet" in run(tmp_path, "member", "list")[2]
    init(tmp_path, "--org-id", "org_x")
    init(tmp_path, "--org-id", "org_y")
    assert "2 organizations" in run(tmp_path, "member", "list")[2]
    assert run(tmp_path, "member", "list", "--org-id", "org_x")[0] == 0
    assert "no organization org_z" in run(tmp_path, "member", "list", "--org-id", "org_z")[2]


def test_database_url_is_never_shown(tmp_path: Path) -> None:
    for url in (
        "postgresql://hub:s3cr3t@127.0.0.1:1/none",
        "mysql://hub:s3cr3t@127.0.0.1/none",
        "postgresql://hub:s3cr3t@127.0.0.1:port/none",
    ):
        code, out, err = run(tmp_path, "member", "list", database_url=url)
        assert code in {1, 2}
        assert "s3cr3t" not in out + err
        assert "RADAR_AUDIT_HUB_DATABASE_URL" in err


def test_wrong_settings_are_told_with_exit_code_2(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, "serve", listen="8080", purge_batch_rows="many")
    assert code == 2
    assert "RADAR_AUDIT_HUB_PURGE_BATCH_ROWS is 'many'" in err


def test_migrate_goes_up_and_down(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate")[0] == 0
    assert run(tmp_path, "migrate", "--check")[0] == 0
    code, _, err = run(tmp_path, "migrate", "--down-to", "nothing")
    assert (code, "'nothing' is none of base, 0001" in err) == (2, True)
    assert run(tmp_path, "migrate", "--down-to", "base")[0] == 1, "it deletes without being sure"
    assert run(tmp_path, "migrate", "--check")[0] == 0
    assert run(tmp_path, "migrate", "--down-to", "base", "--yes")[0] == 0
    assert run(tmp_path, "migrate", "--check")[0] == 1


def test_openapi_is_printed(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "openapi")
    assert code == 0
    assert json.loads(out)["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    "arguments", [(), ("init",), ("serve",), ("member",), ("purge",), ("log",)]
)
def test_every_command_explains_itself(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, out, _ = run(tmp_path, *arguments, "--help", listen="not read for help")
    assert code == 0
    assert out.startswith("Usage: ")
