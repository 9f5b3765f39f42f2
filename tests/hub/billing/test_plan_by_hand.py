"""The server's own command sets a plan where Stripe does not decide it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from radar_audit_hub.billing.by_hand import PlanChange, set_plan_by_hand
from radar_audit_hub.errors import ConflictError, NotFoundError
from radar_audit_hub.main import main

from tests.hub.billing.conftest import BILLING, Shop
from tests.support.hub_builder import ORG, HubUnderTest


async def set_plan(hub: HubUnderTest, plan: str, org_id: str = ORG) -> PlanChange:
    return await set_plan_by_hand(
        hub.hub.db,
        org_id,
        plan,
        grace_days=7,
        now_ms=hub.clock.now_ms,
        random_bytes=os.urandom,
    )


async def test_plan_is_set_with_its_event_and_grace(any_hub: HubUnderTest) -> None:
    changed = await set_plan(any_hub, "team")
    assert changed == PlanChange(org_id=ORG, previous_plan="enterprise", plan="team")
    assert await set_plan(any_hub, "team") == PlanChange(
        org_id=ORG, previous_plan="team", plan="team"
    )
    shown = (await any_hub.get(BILLING)).json
    assert (shown["plan"], shown["subscription"]) == ("team", None)
    assert [grace["plan"] for grace in shown["grace"]] == ["enterprise"]
    (event,) = (await any_hub.get("")).json["events"]
    assert event["action"] == "billing.subscription_changed"
    assert (event["target_id"], event["actor_user_id"]) == (ORG, None)
    assert event["metadata"] == {
        "subscription_id": "none",
        "previous_plan": "enterprise",
        "plan": "team",
        "previous_quantity": None,
        "quantity": None,
        "previous_status": None,
        "status": "none",
        "reason": "set_by_operator",
    }


async def test_plan_that_stripe_is_paid_for_is_left_to_stripe(shop: Shop) -> None:
    subscription_id = await shop.subscribe("team")
    with pytest.raises(ConflictError, match="has a subscription at Stripe"):
        await set_plan(shop.hub, "free")
    shop.stripe.account.cancel(subscription_id)
    await shop.deliver_all()
    await set_plan(shop.hub, "enterprise")
    assert (await shop.rows())[-1]["target_id"] == subscription_id
    assert (await shop.billing())["plan"] == "enterprise"
    # What Stripe still tells of the old one takes nothing away.
    shop.stripe.account.change(subscription_id, quantity=2)
    await shop.deliver_all()
    assert (await shop.billing())["plan"] == "enterprise"


async def test_unknown_org_has_no_plan(hub: HubUnderTest) -> None:
    with pytest.raises(NotFoundError):
        await set_plan(hub, "team", "org_none")


def test_command_sets_the_plan_and_says_so(sqlite_url: str, tmp_path: Path) -> None:
    runner = CliRunner(env={"RADAR_AUDIT_HUB_DATABASE_URL": sqlite_url})
    assert runner.invoke(main, ["init", "--org-id", "org_x", "--plan", "free"]).exit_code == 0
    for expected in (
        "org_x is on the plan team now, after free.\n",
        "org_x is on the plan team already.\n",
    ):
        result = runner.invoke(main, ["plan", "--plan", "team"])
        assert (result.exit_code, result.stdout) == (0, expected)
    shown = runner.invoke(main, ["plan", "--plan", "free", "-o", "json"])
    assert '"previous_plan": "team"' in shown.stdout
    gone = runner.invoke(main, ["plan", "--plan", "free", "--org-id", "org_none"])
    assert (gone.exit_code, gone.stderr) == (1, "error: there is no such organization\n")
