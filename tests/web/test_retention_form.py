"""The form of retention takes days and hours, and a save that touched nothing shortens nothing."""

from __future__ import annotations

from typing import Any

from tests.support.hub_builder import ORG, HubUnderTest
from tests.support.pages import Elements, reader
from tests.support.policy_agents import operator
from tests.web.test_rule_form import alert_of, untouched
from tests.web.test_settings import BASE, after, field, revision

PAGE = f"{BASE}/retention"
POLICY = f"/api/orgs/{ORG}/audit/policy"


async def stored(hub: HubUnderTest) -> dict[str, Any]:
    retention: dict[str, Any] = (await hub.get(POLICY)).json["policy"]["retention"]
    return retention


async def test_age_is_the_same_after_a_save_that_touched_nothing(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    for hours, said, unit in ((36, "36", "hours"), (720, "30", "days"), (25, "25", "hours")):
        asked = {
            "max_age_hours": hours,
            "shrink_delay_hours": 30,
            "overrides": [{"name": "pods", "actions": ["pod.*"], "max_age_hours": 240}],
        }
        answer = await hub.send("PUT", POLICY, json={"retention": asked})
        assert answer.status == 200, answer.body
        page = await owner.text(PAGE)
        fields = untouched(page)
        assert (fields["age"], fields["age_unit"], fields["delay"]) == (said, unit, "30")
        await after(owner, PAGE, **fields)
        assert await stored(hub) == asked


async def test_age_is_typed_in_hours_or_days_and_emptied(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    for typed, hours in (
        ({"age": "36", "age_unit": "hours"}, 36),
        ({"age": "2", "age_unit": "days"}, 48),
        ({"age": "", "age_unit": "hours"}, None),
    ):
        await after(owner, PAGE, **typed, delay="24", revision=await revision(owner))
        assert (await stored(hub)).get("max_age_hours") == hours


async def test_wrong_age_is_named_with_what_is_right_in_its_unit(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    now = await revision(owner)
    for typed, said, name in (
        ({"age": "23", "age_unit": "hours"}, "Keep events for must be a whole number", "age"),
        ({"age": "0"}, "from 1 to 3650 days", "age"),
        ({"age": "1.5"}, "from 1 to 3650 days", "age"),
        ({"age": "9" * 40, "age_unit": "hours"}, "from 24 to 87600 hours", "age"),
        ({"age": "1", "age_unit": "weeks"}, "must be days or hours", "age_unit"),
        ({"age": "1", "delay": "721"}, "A shorter age waits for (hours) must be 0 to 720", "delay"),
    ):  # fmt: skip
        answer = await owner.post(PAGE, **{"delay": "24", "revision": now, **typed})
        page = answer.body.decode()
        text, links = alert_of(page)
        assert (answer.status, said in text, links) == (422, True, [f"#{name}"]), (typed, text)
        assert field(page, name)["aria-invalid"] == "true"
        assert field(page, "age")["value"] == typed["age"], "nothing typed is lost"


async def test_override_takes_hours_and_is_named_if_it_is_wrong(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    mine = await operator(hub, speaks_for_org=True)
    answer = await mine.put(mine.owner(), 1, scope="organization", retention={"max_age_hours": 720})
    assert answer.status == 200, answer.body
    wrong = await owner.post(f"{PAGE}/override", override="")
    assert wrong.status == 422
    assert field(wrong.body.decode(), "override")["aria-invalid"] == "true"
    await after(owner, f"{PAGE}/override", override="36", override_unit="hours")
    found = (await hub.get(POLICY)).json
    assert found["overridden"] is not None
    assert "36 hours" in Elements(await owner.text(PAGE)).text
