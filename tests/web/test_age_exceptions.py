"""Exceptions of the retention and ends of holds have fields, which say what is wrong in them."""

from __future__ import annotations

from typing import Any

from tests.support.hub_builder import HubUnderTest
from tests.support.pages import Elements, Reader, reader
from tests.support.policy_agents import operator
from tests.web.test_retention_form import PAGE, POLICY, stored
from tests.web.test_rule_form import alert_of, untouched
from tests.web.test_settings import after, field, revision

NEW = f"{PAGE}/new-exception"
PODS = {"name": "pods", "actions": ["pod.*", "cluster.created"], "max_age_hours": 36}
HOLD = {"name": "case-7", "reason": "lawsuit", "query": ""}


async def add(owner: Reader, **typed: str) -> str:
    fields = {"name": "pods", "actions": "pod.*\ncluster.created", "age": "36"}
    fields |= {"age_unit": "hours", "revision": await revision(owner), **typed}
    return await after(owner, NEW, **fields)


async def test_exception_is_made_changed_and_deleted(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await after(owner, PAGE, age="5", delay="30", revision=await revision(owner))
    page = await add(owner)
    assert "Saved." in page
    assert (await stored(hub))["overrides"] == [PODS]
    here = f"{PAGE}/exceptions/pods"
    assert here in [one.get("href") for one in Elements(page).all("a")]
    fields = untouched(await owner.text(here))
    assert (fields["age"], fields["age_unit"]) == ("36", "hours")
    await after(owner, here, **fields)
    assert (await stored(hub))["overrides"] == [PODS], "a save that touched nothing"
    await after(owner, here, **{**fields, "actions": "pod.*", "age": "3", "age_unit": "days"})
    (changed,) = (await stored(hub))["overrides"]
    assert changed == {"name": "pods", "actions": ["pod.*"], "max_age_hours": 72}
    gone = await after(owner, f"{here}/delete", revision=await revision(owner))
    assert "The exception is deleted." in gone
    kept = await stored(hub)
    assert (kept["max_age_hours"], kept["shrink_delay_hours"]) == (120, 30)
    assert not kept.get("overrides")
    assert (await owner.get(here)).status == 404


async def test_wrong_exception_is_named_at_its_field_and_nothing_typed_is_lost(
    hub: HubUnderTest,
) -> None:
    owner = await reader(hub)
    right = {"name": "pods", "actions": "pod.*", "age": "2", "revision": await revision(owner)}
    for typed, said, name in (
        ({"name": "No Name"}, "must be 1 to 63 lower-case letters", "name"),
        ({"actions": ""}, "must be 1 to 16 actions", "actions"),
        ({"actions": "pod.exec_start"}, "the nearest known one is pod.exec_started", "actions"),
        ({"age": ""}, "must be given", "age"),
        ({"age": "0"}, "from 1 to 3650 days", "age"),
        ({"age_unit": "weeks"}, "must be days or hours", "age_unit"),
    ):
        answer = await owner.post(NEW, **{**right, **typed})
        page = answer.body.decode()
        text, links = alert_of(page)
        assert (answer.status, said in text, links) == (422, True, [f"#{name}"]), (typed, text)
        assert field(page, name)["aria-invalid"] == "true"
        assert field(page, "name")["value"] == {**right, **typed}["name"]
    assert (await hub.get(POLICY)).json["policy"]["retention"] is None
    await add(owner)
    again = await owner.post(NEW, **{**right, "revision": await revision(owner)})
    assert (again.status, "exception of this name" in again.body.decode()) == (409, True)


async def test_shorter_exception_is_told_with_its_delay(hub: HubUnderTest) -> None:
    """What waits is not in force: the page says both, as it does of the organization's age."""
    owner = await reader(hub)
    text = Elements(await add(owner)).text
    assert "36 hours from 19 Nov 2026" in text
    hub.clock.now_ms += 25 * 3_600_000
    text = Elements(await (await reader(hub)).text(PAGE)).text
    assert "36 hours from" not in text
    assert "36 hours the exception pods" in text


async def test_policy_that_sets_the_retention_is_named_instead_of_the_form(
    hub: HubUnderTest,
) -> None:
    owner = await reader(hub)
    await add(owner)
    mine = await operator(hub, speaks_for_org=True)
    answer = await mine.put(mine.owner(), 1, scope="organization", retention={"max_age_hours": 720})
    assert answer.status == 200, answer.body
    held = await owner.text(PAGE)
    assert "Add an exception" not in held
    for path in (NEW, f"{PAGE}/exceptions/pods"):
        page = await owner.text(path)
        assert "AuditPolicy audit/main" in Elements(page).text
        assert not [one for one in Elements(page).all("input") if one.get("name") == "age"]
        typed = {"name": "other", "actions": "pod.*", "age": "2"}
        refused = await owner.post(path, **typed, revision=(await hub.get(POLICY)).json["revision"])
        assert refused.status == 409
        assert "AuditPolicy audit/main sets the retention" in refused.body.decode()
    assert (await stored(hub))["overrides"] == [PODS]


async def test_hold_has_an_end_in_the_reader_s_zone(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    owner.cookies["radar_audit_zone"] = "Europe/Berlin"
    page = await after(
        owner, f"{PAGE}/holds", **HOLD, until="2027-01-01T10:00", revision=await revision(owner)
    )
    (hold,) = (await stored(hub))["holds"]
    assert hold["until"] == "2027-01-01T09:00:00.000Z"
    assert "1 Jan 2027, 10:00:00" in Elements(page).text
    hub.clock.now_ms += 60 * 24 * 3_600_000
    assert "Over" in Elements(await (await reader(hub)).text(PAGE)).words


async def test_end_that_is_no_time_or_is_over_is_refused(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    typed: dict[str, Any] = {**HOLD, "revision": await revision(owner)}
    for until, said in (
        ("soon", "must be a date and a time"),
        ("2020-01-01T10:00", "must be later than now"),
    ):
        answer = await owner.post(f"{PAGE}/holds", **typed, until=until)
        page = answer.body.decode()
        text, links = alert_of(page)
        assert (answer.status, said in text, links) == (422, True, ["#until"])
        assert field(page, "until")["aria-invalid"] == "true"
        assert field(page, "reason")["value"] == "lawsuit"
