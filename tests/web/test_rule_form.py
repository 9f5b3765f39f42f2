"""The form of a rule has all its parts, keeps what nobody touched, and says what is right."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from radar_audit_hub.web.settings.rule_mistakes import LABELS

from tests.support.hub_builder import ORG, HubUnderTest, events_of
from tests.support.pages import Elements, Reader, reader
from tests.web.test_notifications import PAGE, RULE, add_slack, revision
from tests.web.test_settings import after, field

POLICY = f"/api/orgs/{ORG}/audit/policy"
NEW = f"{PAGE}/rules/new"
WHOLE: dict[str, Any] = {
    "name": "shells",
    "destinations": ["security"],
    "actions": ["pod.exec_started"],
    "kinds": ["cluster.disconnected"],
    "query": "namespace:pay*",
    "severity": "warning",
    "throttle": {"max": 3, "per_seconds": 90},
    "threshold": {"count": 5, "within_seconds": 100, "by": "actor"},
    "grouping": {"by": "target", "wait_seconds": 45},
    "quiet_hours": {"from_time": "22:00", "to_time": "06:00", "time_zone": "Europe/Berlin"},
    "muted_until": "2099-01-01T07:00:00.250Z",
    "suspended": True,
}


class Filled(HTMLParser):
    """What a browser would send of a page's fields, nothing of them touched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pairs: list[tuple[str, str]] = []
        self._select = self._area = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "input" and "name" in found and found["name"] != "csrf":
            if found.get("type") != "checkbox" or "checked" in found:
                self.pairs.append((found["name"], found.get("value", "on")))
        elif tag == "select":
            self._select = found["name"]
        elif tag == "option" and "selected" in found:
            self.pairs.append((self._select, found.get("value", "")))
        elif tag == "textarea":
            self._area = found["name"]

    def handle_data(self, data: str) -> None:
        if self._area:
            self.pairs.append((self._area, data.strip()))
            self._area = ""


def untouched(page: str) -> dict[str, str]:
    """Return the fields of a rule's page as they are, but for its severity."""
    return dict(Filled(page).pairs)


async def stored(hub: HubUnderTest) -> list[dict[str, Any]]:
    policy = (await hub.get(POLICY)).json["policy"]
    rules: list[dict[str, Any]] = policy["notifications"]["rules"]
    return rules


async def put(hub: HubUnderTest, *rules: dict[str, Any]) -> None:
    """Store rules beside the destination, by the API."""
    policy = (await hub.get(POLICY)).json["policy"]
    alerts = {**policy["notifications"], "rules": list(rules)}
    answer = await hub.send("PUT", POLICY, json={**policy, "notifications": alerts})
    assert answer.status == 200, answer.body


async def test_rule_is_the_same_after_a_save_that_touched_nothing(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await add_slack(owner)
    digest = {key: WHOLE[key] for key in ("name", "destinations", "actions")}
    for rule in (WHOLE, {**digest, "digest_seconds": 95}):
        await put(hub, rule)
        page = await owner.text(f"{PAGE}/rules/shells")
        fields = {**untouched(page), "severity": rule.get("severity", "info")}
        await after(owner, f"{PAGE}/rules/shells", **{**fields, "do": "save"})
        (found,) = await stored(hub)
        assert found == rule
    await put(hub, WHOLE)
    page = await owner.text(f"{PAGE}/rules/shells")
    assert field(page, "throttle_minutes")["value"] == "1.5"
    assert "This rule is muted until 1 Jan 2099" in Elements(page).text
    assert "Muted" in Elements(await owner.text(PAGE)).text


async def test_each_part_is_set_on_the_page(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await add_slack(owner)
    parts = {
        "threshold_count": "5", "threshold_minutes": "10", "threshold_by": "namespace",
        "grouping_seconds": "30", "grouping_by": "actor", "muted_until": "2099-01-01T08:00",
        "throttle_max": "2", "throttle_minutes": "1.5",
    }  # fmt: skip
    await after(owner, NEW, **RULE, **parts, revision=await revision(owner))
    (rule,) = await stored(hub)
    assert rule["threshold"] == {"count": 5, "within_seconds": 600, "by": "namespace"}
    assert rule["grouping"] == {"by": "actor", "wait_seconds": 30}
    assert rule["throttle"] == {"max": 2, "per_seconds": 90}
    assert rule["muted_until"] == "2099-01-01T08:00:00.000Z"
    await after(owner, f"{PAGE}/rules/shells", **RULE, revision=await revision(owner))
    (rule,) = await stored(hub)
    assert not {"threshold", "grouping", "throttle", "muted_until"} & set(rule)


async def test_rule_is_tried_on_as_many_days_as_are_asked_for(hub: HubUnderTest) -> None:
    owner = await reader(hub)
    await add_slack(owner)
    await hub.append(*events_of(3, action="pod.exec_started"))
    asked = {**RULE, "query": "", "revision": await revision(owner), "do": "try"}
    tried = await owner.post(NEW, **asked, days="30")
    page = tried.body.decode()
    assert "In the last 30 days" in Elements(page).text
    assert field(page, "days")["value"] == "30"
    refused = await owner.post(NEW, **asked, days="31")
    assert refused.status == 422
    assert field(refused.body.decode(), "days")["aria-invalid"] == "true"
    assert "Days to try it on must be 1 to 30" in Elements(refused.body.decode()).text


def alert_of(page: str) -> tuple[str, list[str]]:
    """Return what stands above the form, and where its links lead to."""
    part = page.partition('role="alert"')[2].partition("</div>")[0]
    found = Elements(f"<p {part}")
    return found.text, [one["href"] for one in found.all("a")]


QUIET = {"quiet_from": "22:00", "quiet_zone": "UTC"}
OFTEN = {"threshold_count": "5", "threshold_minutes": "5"}
# What is typed, what is said of it, and where that leads to: a field, or None for the whole form.
WRONG: list[tuple[dict[str, str], str, str | None]] = [
    ({"throttle_max": "1", "throttle_minutes": "0"}, "must be 1 to 59940", "#throttle_minutes"),
    ({"throttle_max": "1", "throttle_minutes": "x"}, "such as 5 or 1.5", "#throttle_minutes"),
    (
        {"threshold_count": "5", "threshold_minutes": "0.5"},
        "Threshold, minutes must be 1 to 1440",
        "#threshold_minutes",
    ),
    ({"digest_minutes": "0"}, "Digest, minutes must be 1 to 10080", "#digest_minutes"),
    ({"grouping_seconds": "0"}, "Grouping, seconds must be 1 to 3600", "#grouping_seconds"),
    ({"actions": "", "query": ""}, "A rule needs actions, a query or", None),
    (
        {"digest_minutes": "60", "throttle_max": "1", "throttle_minutes": "5"},
        "A digest and a throttle exclude each other",
        None,
    ),
    (
        {"digest_minutes": "60", "grouping_seconds": "5"},
        "A digest and a grouping exclude each other",
        None,
    ),
    ({**QUIET, "quiet_to": "22:00"}, "must be another time", "#quiet_to"),
    ({**QUIET, "quiet_to": ""}, "must be times such as 22:00", "#quiet_from"),
    ({**QUIET, "quiet_to": "6:00", "quiet_zone": "Mars"}, "must be a zone", "#quiet_zone"),
    ({"destinations": "gone"}, "Destinations must be some", "#destinations"),
    ({"kinds": "cluster.gone"}, "names no known kind", "#kinds"),
    ({**OFTEN, "threshold_by": "x"}, "Threshold, counted apart by", "#threshold_by"),
    ({"muted_until": "soon"}, "must be a date and a time", "#muted_until"),
    ({"name": "Not A Name"}, "must be 1 to 63 lower-case letters", "#name"),
]


async def test_mistake_is_said_in_the_words_of_the_page_and_leads_to_its_field(
    hub: HubUnderTest,
) -> None:
    owner = await reader(hub)
    await add_slack(owner)
    now = await revision(owner)
    for typed, said, link in WRONG:
        # A trial looks at no destination.
        for do in ("save",) if link == "#destinations" else ("save", "try"):
            answer = await owner.post(NEW, **{**RULE, **typed, "revision": now, "do": do})
            page = answer.body.decode()
            text, links = alert_of(page)
            assert (answer.status, said in text) == (422, True), (typed, text)
            for name in ("_seconds", "from_time", "to_time", "notifications.", "rules["):
                assert name not in text, (typed, text)
            assert (link in links) if link else links == [], (typed, links)
            assert all(field(page, one.removeprefix("#")) for one in links)


async def test_mistake_of_another_rule_is_not_told_as_this_one_s(hub: HubUnderTest) -> None:
    """Another rule's query was right when it was stored, and is not any more."""
    owner = await reader(hub)
    await add_slack(owner)
    await put(hub, {"name": "other", "destinations": ["security"], "query": "namespace:a"})
    async with hub.hub.db.write() as conn:
        await conn.exec_driver_sql(
            "UPDATE policy_owner SET document = replace(document, 'namespace:a', 'nonsense:a')"
        )
    answer = await owner.post(NEW, **RULE, revision=await revision(owner))
    text, links = alert_of(answer.body.decode())
    assert answer.status == 422
    assert "The rule other: query at position" in text
    assert links == []


async def test_every_field_that_a_mistake_may_name_is_on_the_page(hub: HubUnderTest) -> None:
    page = await (await reader(hub)).text(NEW)
    for name in LABELS:
        assert field(page, name)


async def test_forms_hold_hostile_text_as_text(hub: HubUnderTest) -> None:
    owner: Reader = await reader(hub)
    markup = '"><script>alert(1)</script>'
    typed = dict.fromkeys(
        ("threshold_by", "grouping_by", "grouping_seconds", "muted_until"), markup
    )
    answer = await owner.post(NEW, **{**RULE, **typed, "days": markup, "revision": markup})
    assert answer.status == 422
    assert "<script>alert" not in answer.body.decode()
