"""Audit lines become records of allow-listed fields; whatever else they hold is gone."""

from __future__ import annotations

import json
import traceback
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_collector.capture.record import (
    AuditBatchError,
    AuditRecord,
    Skipped,
    parse_batch,
    parse_line,
)

from tests.support.audit_lines import ARGV_SECRET, audit_event, audit_line, event_list


def parsed(line: bytes) -> AuditRecord:
    record = parse_line(line)
    assert isinstance(record, AuditRecord), record
    return record


def reason(line: bytes) -> str:
    skipped = parse_line(line)
    assert isinstance(skipped, Skipped), skipped
    return skipped.reason


def test_only_allow_listed_fields_are_kept() -> None:
    record = parsed(audit_line(code=403, stage="ResponseComplete", verb="create"))
    assert record.audit_id == "9ab2aa80-03ee-4a19-adef-e01fdd0f4183"
    assert (record.stage, record.verb, record.upgrade) == ("ResponseComplete", "create", "spdy")
    assert (record.namespace, record.pod, record.subresource) == ("demo", "web", "exec")
    assert record.user == "system:serviceaccount:radar:radar"
    assert record.impersonated_user == "user_x"
    assert record.impersonated_groups[0] == "cloud:owner"
    assert (record.code, record.container, record.stdin, record.tty) == (403, "app", True, True)
    assert record.stage_us - record.received_us == 4000
    assert record.received_us == 1795489867931542
    assert len(record.user_agent_hash) == 16
    assert set(msgspec.structs.asdict(record)) == {
        *("audit_id", "stage", "verb", "namespace", "pod", "subresource", "user"),
        *("impersonated_user", "impersonated_groups", "code", "received_us", "stage_us"),
        *("container", "stdin", "tty", "user_agent_hash", "by_gateway"),
    }
    assert not record.by_gateway
    assert ARGV_SECRET not in repr(record)


@pytest.mark.parametrize(
    "line",
    [
        audit_line(code=ARGV_SECRET),
        audit_line(stage=ARGV_SECRET),
        audit_line(requestReceivedTimestamp=ARGV_SECRET),
        audit_line(user=ARGV_SECRET)[:-40],
        audit_line(objectRef={ARGV_SECRET: 1, "subresource": ["exec"]}),
        audit_line() + ARGV_SECRET.encode(),
        audit_line().replace(b"hunter2", b"hunter2\xff"),
        b"[" * 100_000 + ARGV_SECRET.encode(),
        b'{"x":' * 100_000 + ARGV_SECRET.encode(),
        ARGV_SECRET.encode(),
        b"",
    ],
)
def test_faulty_line_is_skipped_without_quoting_it(line: bytes) -> None:
    skipped = parse_line(line)
    assert skipped == Skipped("malformed")
    assert ARGV_SECRET not in repr(skipped)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"kind":"%b","items":[]}' % ARGV_SECRET.encode(),
        b'{"kind":"EventList","items":"%b"}' % ARGV_SECRET.encode(),
        b'{"kind":"EventList","items":[%b]}' % ARGV_SECRET.encode(),
        b'{"kind":"EventList","items":[' + b"[" * 100_000,
        b'{"kind":"EventList","items":[{}]} \xff',
    ],
)
def test_faulty_batch_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(AuditBatchError) as caught:
        parse_batch(body)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert ARGV_SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_faulty_item_costs_only_itself() -> None:
    items = parse_batch(event_list([audit_line("a"), b'{"auditID":7}', b"3", audit_line("b")]))
    assert [getattr(item, "audit_id", "-") for item in items] == ["a", "-", "-", "b"]
    assert items[1:3] == [Skipped("malformed")] * 2


@pytest.mark.parametrize("item", [b"0", b"{}", b'{"auditID":0}'])
def test_batch_of_millions_of_tiny_items_is_refused_before_it_takes_memory(item: bytes) -> None:
    body = event_list([item] * 1_500_000)
    tracemalloc.start()
    try:
        with pytest.raises(AuditBatchError):
            parse_batch(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_batch_full_of_commas_is_taken_if_its_items_are_events() -> None:
    wide = audit_line(requestObject={"spec": [0] * 300_000})
    assert [type(item) for item in parse_batch(event_list([wide] * 4))] == [AuditRecord] * 4


def test_batch_without_items_is_empty() -> None:
    assert parse_batch(b'{"kind":"EventList","items":null}') == []


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"stage": "RequestReceived", "code": None}, "request_received"),
        ({"subresource": "portforward"}, "not_exec"),
        ({"subresource": "log"}, "not_exec"),
        ({"verb": "delete"}, "not_exec"),
        ({"objectRef": None}, "not_exec"),
        ({"objectRef": {"resource": "nodes", "name": "n", "subresource": "exec"}}, "not_exec"),
        ({"requestURI": "/api/v1/namespaces/other/pods/web/exec?tty=true"}, "path_mismatch"),
        ({"requestURI": "/api/v1/namespaces/demo/pods/web/exec/more"}, "path_mismatch"),
        ({"requestURI": "/api/v1/namespaces/demo/pods/w%2565b/exec"}, "path_mismatch"),
        ({"requestURI": ""}, "path_mismatch"),
        ({"pod": "Web"}, "bad_name"),
        ({"pod": "a..b"}, "bad_name"),
        ({"pod": "a" * 254}, "bad_name"),
        ({"namespace": "a.b"}, "bad_name"),
        ({"namespace": "a" * 64}, "bad_name"),
        ({"person": "u" * 257}, "bad_name"),
        ({"audit_id": ""}, "malformed"),
        ({"stage": "Later"}, "malformed"),
        ({"stageTimestamp": "0001-01-01T00:00:00Z"}, "malformed"),
        ({"stageTimestamp": "9999-12-31T23:59:59.999999-01:00"}, "malformed"),
        ({"stageTimestamp": "2026-11-24T03:11:07"}, "malformed"),
    ],
)
def test_skipped_line_says_why(changes: dict[str, object], expected: str) -> None:
    assert reason(audit_line(**changes)) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/demo/pods/w%65b/exec",
        "/api/v1/namespaces%2Fdemo/pods/web/exec",
        "/api/v1/namespaces/demo/pods/web/exec/",
    ],
)
def test_path_is_decoded_once_and_then_split(path: str) -> None:
    assert parsed(audit_line(requestURI=f"{path}?stdin=1&tty=1")).tty is True


def test_escaped_json_is_read_like_plain_json() -> None:
    line = audit_line().replace(b'"exec"', b'"\\u0065xe\\u0063"')
    assert b'"exec"' not in line
    assert parsed(line) == parsed(audit_line())


@pytest.mark.parametrize(
    "query, container, stdin, tty",
    [
        ("", None, False, False),
        ("tty=true", None, False, True),
        ("tty&stdin", None, True, True),
        ("tty=&stdin=yes", None, True, True),
        ("tty=false&stdin=0", None, False, False),
        ("tty=FALSE&stdin=%30", None, False, False),
        ("tty=false&tty=true", None, False, False),
        ("tty=true&tty=false", None, False, True),
        ("%74ty=true&st%64in=true", None, True, True),
        ("tty=true;stdin=true", None, False, False),
        ("container=app&container=other", "app", False, False),
        ("container=%61pp", "app", False, False),
        ("container=No%20name", None, False, False),
        ("container=" + "a" * 64, None, False, False),
        ("command=a%26tty%3Dtrue&command=x=y", None, False, False),
        ("Tty=true&stdin", None, True, False),
    ],
)
def test_query_is_read_as_the_api_server_reads_it(
    query: str, container: str | None, stdin: bool, tty: bool
) -> None:
    record = parsed(audit_line(requestURI=f"/api/v1/namespaces/demo/pods/web/exec?{query}"))
    assert (record.container, record.stdin, record.tty) == (container, stdin, tty)


def test_user_agents_differ_in_their_hash_only_for_refusals() -> None:
    first = parsed(audit_line(code=403, user_agent="a"))
    second = parsed(audit_line(code=403, user_agent="b"))
    assert first.user_agent_hash != second.user_agent_hash
    assert parsed(audit_line(code=101)).user_agent_hash == ""


def test_absent_user_and_status_are_no_fault() -> None:
    record = parsed(audit_line(user={}, person=None, code=None))
    assert (record.user, record.impersonated_user, record.code) == ("", None, None)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=12).filter(str.isascii),
    st.sampled_from(["command", "env", "cmd", "container", "stdin", "token"]),
)
def test_no_value_of_another_parameter_survives(secret: str, name: str) -> None:
    secret = f"S3cret {secret}"
    event = audit_event()
    event["requestURI"] += "&" + name + "=" + "".join(f"%{byte:02x}" for byte in secret.encode())
    record = parsed(json.dumps(event).encode())
    assert "S3cret" not in repr(record)
    assert "S3cret" not in msgspec.json.encode(record).decode()
    assert record == parsed(json.dumps(audit_event()).encode())
