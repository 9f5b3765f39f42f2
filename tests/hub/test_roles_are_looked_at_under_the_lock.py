"""Whoever loses the role while a request is on its way loses what the role allowed."""

from __future__ import annotations

import pytest
from radar_audit_hub import changes
from radar_audit_hub.store.control import Org, lock_org
from radar_audit_hub.store.database import Connection
from radar_audit_hub.store.schema import org_member
from sqlalchemy import update

from tests.hub.mutation_playing import dump, events_between
from tests.hub.mutation_stage import OWNER_ID, Stage
from tests.hub.mutations import CASES, Case

# Signing in and out is everybody's, an own org is made by anybody, a record is no mutation.
OF_A_ROLE = [
    case
    for case in CASES
    if "/orgs/{org_id}" in case.route and case.stores and not (case.reports or case.note)
]


@pytest.mark.parametrize("case", OF_A_ROLE, ids=str)
async def test_role_is_looked_at_again_under_the_lock(
    stage: Stage, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def demoted_first(conn: Connection, org_id: str) -> Org | None:
        """Lock the org a moment after another owner has made this one a viewer."""
        mine = update(org_member).where(org_member.c.user_id == OWNER_ID)
        await conn.execute(mine.values(role="viewer"))
        return await lock_org(conn, org_id)

    call = await case.ask(stage)
    assert call.token == "", "the owner asks"
    before = await dump(stage.hub)
    monkeypatch.setattr(changes, "lock_org", demoted_first)
    answer = await call.send(stage.hub)
    assert answer.status == 403, answer.body
    after = await dump(stage.hub)
    told = {row["action"] for row in events_between(before, after)}
    assert told <= {"cluster.action_denied"}
