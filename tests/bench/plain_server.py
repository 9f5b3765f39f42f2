"""The yardsticks of a request: a handler that does nothing, and one without any care for speed.

A program of its own, so that its CPU can be told apart: `/empty` answers with nothing, and
`/plain/{org_id}` does what the hub's page does (find the token, read 50 events, write JSON) as
one would write it first: SQLAlchemy Core, rows as dictionaries, the standard library's json.
Reads the DSN from BENCH_DSN; tells its port on standard error.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from datetime import UTC, datetime

from aiohttp import web
from radar_audit_hub.store.schema import app_user, audit_event, org, org_member, pat
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

PAGE_EVENTS = 50
_ENGINE: web.AppKey[AsyncEngine] = web.AppKey("engine", AsyncEngine)
_COLUMNS = (
    audit_event.c.id,
    audit_event.c.org_id,
    audit_event.c.actor_user_id,
    audit_event.c.actor_email,
    audit_event.c.action,
    audit_event.c.target_type,
    audit_event.c.target_id,
    audit_event.c.metadata,
    audit_event.c.created_at,
    audit_event.c.seq,
)


async def empty(_request: web.Request) -> web.Response:
    return web.Response()


async def plain(request: web.Request) -> web.Response:
    org_id = request.match_info["org_id"]
    token = request.headers["Authorization"].removeprefix("Bearer ")
    known = (
        select(pat.c.id, org_member.c.role)
        .join(org, org.c.id == pat.c.org_id)
        .join(app_user, app_user.c.id == pat.c.user_id)
        .join(
            org_member,
            (org_member.c.org_id == pat.c.org_id) & (org_member.c.user_id == pat.c.user_id),
        )
        .where(pat.c.token_hash == hashlib.sha256(token.encode()).digest(), pat.c.org_id == org_id)
    )
    newest = (
        select(*_COLUMNS)
        .where(audit_event.c.org_id == org_id)
        .order_by(audit_event.c.id.desc())
        .limit(PAGE_EVENTS + 1)
    )
    async with request.app[_ENGINE].connect() as connection:
        if (await connection.execute(known)).first() is None:
            raise web.HTTPUnauthorized
        rows = (await connection.execute(newest)).mappings().all()
    events = []
    for row in rows[:PAGE_EVENTS]:
        event = dict(row)
        event["metadata"] = json.loads(event["metadata"])
        created = datetime.fromtimestamp(event["created_at"] / 1000, UTC)
        event["created_at"] = created.isoformat(timespec="milliseconds")
        events.append(event)
    return web.json_response({"events": events})


async def main() -> None:
    app = web.Application()
    url = os.environ["BENCH_DSN"].replace("postgresql://", "postgresql+asyncpg://", 1)
    app[_ENGINE] = create_async_engine(url)
    app.router.add_get("/empty", empty)
    app.router.add_get("/plain/{org_id}", plain)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    sys.stderr.write(json.dumps({"port": port}) + "\n")
    sys.stderr.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await runner.cleanup()
    await app[_ENGINE].dispose()


if __name__ == "__main__":
    asyncio.run(main())
