"""A hub's first start: its org is made once, without a token, and accounts get a cluster."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from radar_audit_hub.app import HubServer
from radar_audit_hub.bootstrap import BootstrapError, Means, OrgOrder, create_org
from radar_audit_hub.credentials import token_hash
from radar_audit_hub.first_start import prepare_first_start
from radar_audit_hub.main import main
from radar_audit_hub.settings import HubSettings
from radar_audit_hub.settings_kubernetes import BootstrapSettings, KubernetesSettings
from radar_audit_hub.store.clusters import delete_cluster, get_cluster
from radar_audit_hub.store.control import list_orgs
from radar_audit_hub.store.database import Database
from radar_audit_hub.store.kubernetes_login import find_login
from radar_audit_hub.store.policy_clusters import tokens_of
from radar_audit_hub.store.tokens import find_pat

from tests.support.collector_posts import stored_rows
from tests.support.hub_builder import settings_for
from tests.support.log_rows import NOW_MS

MEANS = Means(now_ms=NOW_MS, random_bytes=secrets.token_bytes)
LOGIN = KubernetesSettings(login=True, collectors=("radar/radar",))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool_size=4)
    yield database
    await database.close()


def wanted(*, login: bool = True, **changes: Any) -> HubSettings:
    facts: dict[str, Any] = {
        "owner_email": "Owner@Acme.com",
        "org_name": "Acme",
        "org_id": "org_x",
    } | changes
    kubernetes = LOGIN if login else KubernetesSettings()
    return settings_for(
        "sqlite:////unused", bootstrap=BootstrapSettings(**facts), kubernetes=kubernetes
    )


async def login_cluster(db: Database) -> str | None:
    async with db.read() as connection:
        found = await find_login(connection)
    return None if found is None else found.cluster_id


async def test_the_first_org_is_made_with_its_events_and_without_a_token(db: Database) -> None:
    await prepare_first_start(db, wanted(cluster_id="cl_main"), MEANS)
    rows = await stored_rows(db)
    assert [(row["action"], row["target_id"]) for row in rows] == [
        ("org.created", "org_x"),
        ("org_member.joined", rows[1]["target_id"]),
        ("cluster.created", "cl_main"),
    ]
    assert rows[1]["metadata"]["provisioned_by"] == "server_command"
    assert await login_cluster(db) == "cl_main"
    async with db.read() as connection:
        tokens = await tokens_of(connection, "org_x", "cl_main")
    # The one row is where accounts log in: no token has its hash.
    assert len(tokens) == 1


async def test_without_logging_in_there_is_no_row_for_it(db: Database) -> None:
    await prepare_first_start(db, wanted(login=False), MEANS)
    assert await login_cluster(db) is None


async def test_replicas_that_start_together_make_one_org(db: Database, database_url: str) -> None:
    others = [await Database.open(database_url, pool_size=3) for _ in range(3)]
    try:
        await asyncio.gather(
            *(prepare_first_start(each, wanted(), MEANS) for each in (db, *others))
        )
        async with db.read() as connection:
            assert len(await list_orgs(connection)) == 1
        rows = await stored_rows(db)
        assert [row["action"] for row in rows].count("org.created") == 1
        # One that was second chooses the cluster at its next start, at the latest.
        await prepare_first_start(others[0], wanted(), MEANS)
        assert await login_cluster(db) == rows[-1]["target_id"]
    finally:
        for each in others:
            await each.close()


async def test_servers_make_the_first_org_before_they_serve(database_url: str) -> None:
    facts = wanted()
    settings = settings_for(
        database_url, bootstrap=facts.bootstrap, kubernetes=facts.kubernetes, purge_enabled=False
    )
    servers = [
        HubServer(settings, now_ms=lambda: NOW_MS, random_bytes=secrets.token_bytes)
        for _ in range(2)
    ]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        database = await Database.open(database_url, pool_size=3)
        async with database.read() as connection:
            assert [org.id for org in await list_orgs(connection)] == ["org_x"]
        await database.close()
    finally:
        for server in servers:
            await server.stop()


async def test_a_start_after_the_first_changes_nothing(db: Database) -> None:
    await prepare_first_start(db, wanted(), MEANS)
    before = await stored_rows(db)
    later = Means(now_ms=NOW_MS + 10**9, random_bytes=secrets.token_bytes)
    await prepare_first_start(db, wanted(org_name="Other", cluster_name="other"), later)
    assert await stored_rows(db) == before


ORDER = OrgOrder(
    org_id=None,
    org_name="Acme",
    plan="enterprise",
    owner_email="alice@acme.com",
    pat_name="init",
    pat_days=None,
    cluster_id=None,
    cluster_name="prod",
    environment="staging",
)


async def test_a_hub_that_has_an_org_gets_no_other_but_its_only_cluster_takes_logins(
    db: Database,
) -> None:
    made = await create_org(db, ORDER, MEANS)
    await prepare_first_start(db, wanted(), MEANS)
    async with db.read() as connection:
        assert [org.id for org in await list_orgs(connection)] == [made.org.id]
    assert await login_cluster(db) == made.cluster.id


async def test_of_several_clusters_the_named_one_takes_logins(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await create_org(db, ORDER, MEANS)
    second = await create_org(db, ORDER, MEANS)
    await prepare_first_start(db, wanted(), MEANS)
    assert await login_cluster(db) is None
    assert "no cluster is chosen" in caplog.text
    await prepare_first_start(db, wanted(cluster_id="cl_none"), MEANS)
    assert await login_cluster(db) is None
    await prepare_first_start(db, wanted(cluster_id=second.cluster.id), MEANS)
    assert await login_cluster(db) == second.cluster.id


async def test_accounts_do_not_come_to_another_cluster_when_theirs_is_deleted(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await prepare_first_start(db, wanted(cluster_id="cl_own"), MEANS)
    other = await create_org(db, ORDER, MEANS)
    async with db.write() as connection:
        own = await get_cluster(connection, "org_x", "cl_own")
        assert own is not None
        await delete_cluster(connection, own, NOW_MS)
    for cluster_id in (None, "cl_own"):
        await prepare_first_start(db, wanted(cluster_id=cluster_id), MEANS)
        assert await login_cluster(db) == "cl_own"
    assert "is deleted" in caplog.text
    await prepare_first_start(db, wanted(cluster_id=other.cluster.id), MEANS)
    assert await login_cluster(db) == other.cluster.id


async def test_an_org_that_cannot_be_is_refused(sqlite_url: str) -> None:
    database = await Database.open(sqlite_url)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"owner_email": "nobody"}, "e-mail"),
        ({"org_id": "acme"}, "org_"),
        ({"cluster_id": "main"}, "cl_"),
        ({"cluster_name": ""}, "cluster's name"),
    )
    for changes, sentence in refused:
        with pytest.raises(BootstrapError) as raised:
            await prepare_first_start(database, wanted(**changes), MEANS)
        assert sentence in f"{raised.value} {raised.value.hint}"
    async with database.read() as connection:
        assert await list_orgs(connection) == []
    await database.close()


async def test_a_first_token_is_made_on_the_server_and_told_in_the_log(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = await Database.open(sqlite_url)
    await prepare_first_start(database, wanted(), MEANS)
    env: dict[str, str | None] = {"RADAR_AUDIT_HUB_DATABASE_URL": sqlite_url}

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, arguments, env=env, catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    root = logging.getLogger()
    level, handlers = root.level, root.handlers
    try:
        create = ("pat", "create", "--email", "owner@acme.com")
        code, out, err = await asyncio.to_thread(run, *create, "--name", "first", "-o", "json")
        assert code == 0, err
        as_text = await asyncio.to_thread(run, *create)
        refused = await asyncio.to_thread(run, "pat", "create", "--email", "bob@acme.com")
    finally:
        root.setLevel(level)
        root.handlers = handlers
        logging.captureWarnings(capture=False)
        logging.raiseExceptions = True
    made = json.loads(out)
    async with database.read() as connection:
        found = await find_pat(connection, token_hash(made["pat"]["token"]))
    assert found is not None
    assert (found.email, found.role, found.name) == ("owner@acme.com", "owner", "first")
    assert [row["action"] for row in await stored_rows(database)][-2:] == ["pat.created"] * 2
    assert as_text[0] == 0
    assert "rhp_" in as_text[1]
    assert refused[0] == 1
    assert "bob@acme.com is no member" in refused[2]
    await database.close()
