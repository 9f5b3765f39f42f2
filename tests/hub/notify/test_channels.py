"""A message reads well in each channel, and nothing that others wrote has an effect there."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_hub.notify.channels import email, pagerduty, slack, teams, webhook
from radar_audit_hub.notify.channels.request import HttpRequest, Told, shown
from radar_audit_hub.notify.channels.wording import clean
from radar_audit_hub.notify.content import Content
from radar_audit_hub.policy.secret_parts import Secret

from tests.support.log_rows import make_event
from tests.support.notify_world import SECRET, content

TOLD = Told(
    message_id="msg_1",
    destination_id="nd_1",
    created_at_ms=1_795_000_000_000,
    now_ms=1_795_000_001_000,
    public_url="https://audit.acme.com",
)
SLACK = "https://hooks.slack.com/services/T000/B000/canary"
ROUTING_KEY = "canary0123456789canary0123456789"
HOSTILE = [
    "<!channel> <@U123> <https://evil.example|click>",
    "<script>alert(1)</script>",
    "[click](https://evil.example) *bold* {{DATE(2026)}} ${secret}",
    "{{{DATE(2026)}}} $${secret} {{{{x}}}}",
    "a\r\nBcc: eve@evil.example\r\n\r\nnew body",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200b\ufeff\x00\x1b[31m",
    "x" * 5000,
    "\U0001f600" * 5000,
    "\ud800 lone",
]


def hostile(text: str) -> Content:
    event = make_event().public()
    event |= {"actor_email": text, "target_id": text, "action": text}
    event["metadata"] = dict.fromkeys(("cluster_name", "namespace", "pod", "via_pat"), text)
    return content(
        title=text,
        org_name=text,
        rule=text,
        events=[event, event],
        total=2,
        facts={"note": text},
        path="/orgs/org_x/activity/" + text,
    )


def many(count: int) -> Content:
    return content(
        events=[make_event(number).public() for number in range(count)],
        total=count * 10,
        title="many",
    )


def of_slack(told: Content) -> Any:
    return json.loads(slack.render(told, TOLD, SLACK).body)


def of_webhook(told: Content, envelope: Any = "radar") -> Any:
    secret = Secret(signing_secret=SECRET)
    request = webhook.render(told, TOLD, "https://a.example/", secret, envelope=envelope)
    assert len(request.body) <= webhook.MAX_BODY_BYTES
    return json.loads(request.body)


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def texts_in(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [text for value in part.values() for text in texts_in(value)]
    if isinstance(part, list):
        return [text for value in part for text in texts_in(value)]
    return [part] if isinstance(part, str) else []


def test_slack_message_says_who_what_where_and_leads_to_the_event() -> None:
    body = of_slack(content())
    text = "\n".join(texts_in(body))
    for part in ("alice@acme.com", "pod.exec_started", "payments", "web-1", "prod", "shells"):
        assert part in text
    event = make_event().public()
    event["metadata"] = dict.fromkeys(("cluster_name", "namespace", "pod", "container"), "x")
    event["metadata"]["via_pat"] = "laptop"
    full = texts_in(of_slack(content(events=[event], rule="the-last-fact")))
    assert {"Token\nlaptop", "Rule\nthe-last-fact"} <= set(full), "also where it has many facts"
    button = body["blocks"][-1]["elements"][0]
    assert button["url"].startswith("https://audit.acme.com/orgs/org_x/activity/ae_")
    assert body["text"].startswith("alice@acme.com opened")


@pytest.mark.parametrize("text", HOSTILE)
def test_slack_interprets_nothing_that_others_wrote_and_its_limits_hold(text: str) -> None:
    body = of_slack(hostile(text))
    assert "<" not in body["text"]
    assert len(body["blocks"]) <= 50
    for block in body["blocks"]:
        fields = [block["text"]] if "text" in block else block.get("fields", [])
        assert all(field["type"] == "plain_text" for field in fields)
        limit = {"header": 150, "section": 3000}.get(block["type"], 3000)
        assert all(0 < utf16_units(field["text"]) <= limit for field in fields)
        if "fields" in block:
            assert len(fields) <= 10
            assert all(utf16_units(field["text"]) <= 2000 for field in fields)
    assert len(body["blocks"][-1]["elements"][0]["url"]) <= 3000


@pytest.mark.parametrize("text", HOSTILE)
def test_teams_card_holds_what_others_wrote_in_text_runs_only(text: str) -> None:
    sent = teams.render(hostile(text[:1000]), TOLD, SLACK).body
    body = json.loads(sent)
    card = body["attachments"][0]["content"]
    assert {part["type"] for part in card["body"]} == {"RichTextBlock"}
    runs = [run for part in card["body"] for run in part["inlines"]]
    assert {run["type"] for run in runs} == {"TextRun"}
    assert not any("{{" in run["text"] or "${" in run["text"] for run in runs)
    assert len(sent) < 28 * 1024


def test_pagerduty_event_has_its_key_severity_and_link() -> None:
    request = pagerduty.render(content(severity="critical"), TOLD, ROUTING_KEY, "https://pd/")
    body = json.loads(request.body)
    assert (body["routing_key"], body["event_action"]) == (ROUTING_KEY, "trigger")
    assert (body["dedup_key"], body["payload"]["severity"]) == ("msg_1", "critical")
    assert body["payload"]["source"] == "prod"
    assert body["links"][0]["href"].startswith("https://audit.acme.com/orgs/")
    assert ROUTING_KEY not in shown(request)


def test_cluster_that_is_back_resolves_the_incident_of_its_going() -> None:
    events = []
    for kind in ("cluster.disconnected", "cluster.reconnected"):
        told = content(kind="notice", notice_kind=kind, events=[], facts={"cluster_id": "cl_1"})
        events.append(json.loads(pagerduty.render(told, TOLD, ROUTING_KEY, "https://pd/").body))
    assert [event["event_action"] for event in events] == ["trigger", "resolve"]
    assert len({event["dedup_key"] for event in events}) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_pagerduty_summary_keeps_its_limit(text: str) -> None:
    body = json.loads(pagerduty.render(hostile(text), TOLD, ROUTING_KEY, "https://pd/").body)
    assert 0 < len(body["payload"]["summary"]) <= 1024


class Tags(HTMLParser):
    """The tags and addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]


@pytest.mark.parametrize("text", HOSTILE)
def test_mail_has_no_markup_and_no_header_of_others(text: str) -> None:
    mail = email.render(hostile(text), TOLD, ["ops@acme.com", "sec@acme.com"])
    page = Tags(mail.html)
    assert page.tags <= {"p", "strong", "table", "tr", "th", "td", "ul", "li", "a", "small"}
    assert all(link.startswith("https://audit.acme.com/orgs/org_x/") for link in page.links)
    assert "\n" not in mail.subject
    assert len(mail.subject) <= 200
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", mail.text + mail.html)
    assert mail.headers["List-Unsubscribe"] == "<https://audit.acme.com/orgs/org_x/notifications>"


@given(st.text(max_size=300), st.integers(2, 60))
def test_cleaned_text_is_one_short_line_that_looks_as_it_reads(text: str, limit: int) -> None:
    found = clean(text, limit)
    assert len(found) <= limit
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", found)
    found.encode()


@pytest.mark.parametrize("char", "\u034f\u115f\u1160\u2800\u3164\uffa0")
def test_letter_that_nobody_sees_is_a_space_as_the_pages_spell_it_out(char: str) -> None:
    assert clean(f"root{char}", 10) == "root "


def test_webhook_body_has_type_time_and_data() -> None:
    body = of_webhook(content())
    assert (body["type"], body["timestamp"]) == ("pod.exec_started", "2026-11-18T11:06:40.000Z")
    data = body["data"]
    assert data["events"] == [json.loads(json.dumps(make_event().public()))]
    assert (data["total"], data["truncated"], data["rule"]) == (1, False, "shells")


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"kind": "test", "events": []}, "test"),
        ({"kind": "digest"}, "alert.digest"),
        ({"kind": "notice", "events": [], "notice_kind": "cluster.disconnected"},
         "cluster.disconnected"),
        ({"events": [make_event(1).public(), make_event(2).public()], "total": 2}, "alert.group"),
    ],
)  # fmt: skip
def test_type_says_what_kind_of_message_it_is(changes: dict[str, Any], wanted: str) -> None:
    assert of_webhook(content(**changes))["type"] == wanted
    assert of_webhook(content(**changes), "cloudevents")["type"] == f"com.radarhq.audit.{wanted}"


@pytest.mark.parametrize("told", [many(100), hostile("y" * 15_000), hostile("\x01" * 9_000)])
def test_body_that_is_too_long_is_cut_and_says_so(told: Content) -> None:
    for envelope in ("radar", "cloudevents"):
        data = of_webhook(told, envelope)["data"]
        assert data["truncated"] is True
        assert len(data["events"]) < len(told.events)
        assert data["total"] == told.total


@settings(max_examples=40)
@given(st.lists(st.integers(0, 8000), max_size=20))
def test_no_message_is_longer_than_the_limit(sizes: list[int]) -> None:
    events = [
        make_event(n, metadata={"container": "z" * size}).public() for n, size in enumerate(sizes)
    ]
    data = of_webhook(content(events=events, total=len(events)))["data"]
    assert data["truncated"] is (
        len(data["events"]) < len(events)
        or any("metadata" not in event for event in data["events"])
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, {"authtype": "app_user", "authid": "user_alice"}),
        ({"metadata": {"via_pat": "ci"}}, {"authtype": "api_key", "authid": "user_alice"}),
        ({"actor_user_id": None, "actor_email": None}, {"authtype": "system"}),
    ],
)
def test_cloudevent_says_who_did_it(changes: dict[str, Any], wanted: dict[str, str]) -> None:
    body = of_webhook(content(events=[make_event(**changes).public()]), "cloudevents")
    assert (body["specversion"], body["id"], body["source"]) == ("1.0", "msg_1", "/orgs/org_x")
    assert body["subject"] == "cl_1/payments/web-1"
    assert {name: body[name] for name in body if name.startswith("auth")} == wanted


def test_cloudevents_have_their_content_type() -> None:
    secret = Secret(signing_secret=SECRET)
    found = webhook.render(content(), TOLD, "https://a/", secret, envelope="cloudevents")
    assert found.headers["Content-Type"].startswith("application/cloudevents+json")


@pytest.mark.parametrize("render", [slack.render, teams.render])
def test_delivery_log_does_not_show_the_url_that_is_a_secret(render: Any) -> None:
    request: HttpRequest = render(content(title="my canary"), TOLD, SLACK)
    told = shown(request)
    assert "hooks.slack.com" in told
    assert "B000" not in told
    assert "canary" not in told
    assert "canary" not in repr(request)
