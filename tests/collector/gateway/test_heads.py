"""Guards the reading of request heads: where they end, what they say, how long they may be."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_collector.capture.gateway.exec_request import new_audit_id, read_target
from radar_audit_collector.capture.gateway.heads import MAX_HEAD_BYTES, find_end, parse
from radar_audit_collector.capture.gateway.rules import (
    CLOSE_FIELD,
    MALFORMED,
    OVERSIZED,
    Decision,
    decide,
)

from tests.support.gateway_world import exec_head, token

RANDOM = bytes(range(16))
EXEC = b"/api/v1/namespaces/shop/pods/nginx-0/exec"


def whole(data: bytes) -> Decision:
    decision = decide(bytearray(data), 0, RANDOM, close_off=True)
    assert decision is not None
    return decision


def in_pieces(data: bytes, cuts: list[int]) -> Decision | None:
    buffer, looked_at = bytearray(), 0
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        buffer += data[begin:end]
        decision = decide(buffer, looked_at, RANDOM, close_off=True)
        if decision is not None:
            # What comes later follows behind `rest`.
            late = data[end:]
            return Decision(
                decision.notes,
                decision.send,
                decision.rest + late,
                decision.refuse,
                decision.watch,
                decision.line_open,
                decision.exec,
                decision.audit_id,
            )
        looked_at = len(buffer)
    return None


def test_a_head_may_arrive_cut_at_every_byte() -> None:
    data = exec_head() + b"behind"
    expected = whole(data)
    for cut in range(1, len(data)):
        assert in_pieces(data, [cut]) == expected, cut


@given(st.data())
def test_the_end_of_a_head_does_not_depend_on_how_it_arrives(data: st.DataObject) -> None:
    text = data.draw(st.lists(st.sampled_from([b"\r", b"\n", b"a", b": "]), max_size=30))
    stream = b"".join(text)
    found, looked_at = -1, 0
    for length in range(1, len(stream) + 1):
        found = find_end(stream[:length], looked_at)
        if found >= 0:
            break
        looked_at = length
    assert found == find_end(stream)


@pytest.mark.parametrize(
    "path",
    [
        EXEC,
        b"/api/v1/namespaces/shop/pods/nginx-0/%65xec",
        b"/api/v1/namespaces/shop/pods/nginx-0%2Fexec",
        b"/api/v1/namespaces/shop/pods/nginx-0/exec/",
        b"//api/v1/namespaces/shop/pods/nginx-0/exec",
        b"http://example.com/api/v1/namespaces/shop/pods/nginx-0/exec",
        b"HTTPS://u:p@[::1]:6443/api/v1/namespaces/shop/pods/nginx-0/exec",
    ],
)
def test_an_exec_is_seen_in_every_form_of_its_target(path: bytes) -> None:
    head = exec_head().replace(EXEC, path)
    decision = whole(head)
    assert decision.exec is not None
    assert decision.watch
    assert (decision.exec.namespace, decision.exec.pod) == ("shop", "nginx-0")


@pytest.mark.parametrize("name", ["IMPERSONATE-USER", "impersonate-user", "iMpErSoNaTe-UsEr"])
def test_the_casing_of_a_name_does_not_matter(name: str) -> None:
    decision = whole(exec_head().replace(b"Impersonate-User", name.encode()))
    assert decision.exec is not None
    assert decision.exec.impersonated_user == "user_01"


def test_the_first_of_repeated_users_counts_and_every_group() -> None:
    head = exec_head("Impersonate-User: mallory", "Impersonate-Group: radar:viewer")
    facts = whole(head).exec
    assert facts is not None
    assert facts.impersonated_user == "user_01"
    assert facts.impersonated_groups == ("radar:owner", "cloud:org:org_1", "radar:viewer")


def test_a_folded_value_is_joined_as_go_joins_it() -> None:
    head = exec_head().replace(b"Impersonate-User: user_01", b"Impersonate-User: user\r\n \t_01 ")
    facts = whole(head).exec
    assert facts is not None
    assert facts.impersonated_user == "user _01"


def test_the_subject_of_the_token_is_read_and_nothing_else_of_it() -> None:
    facts = whole(exec_head()).exec
    assert facts is not None
    assert facts.user == "system:serviceaccount:radar:radar"
    assert "c2lnbmF0dXJl" not in repr(facts)


def test_a_token_in_the_websocket_protocol_counts_where_there_is_no_other() -> None:
    head = exec_head(method="GET").replace(f"Bearer {token()}".encode(), b"Basic eA==")
    protocol = "base64url.bearer.authorization.k8s.io." + _base64(token("system:sa"))
    facts = whole(head[:-2] + f"Sec-WebSocket-Protocol: v5, {protocol}\r\n\r\n".encode()).exec
    assert facts is not None
    assert facts.user == "system:sa"


def _base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("garbage", ["x.y.z", "a.b", "", "e30.W10.x", "e30." + "WyI" * 9000 + ".x"])
def test_a_token_that_is_none_has_no_subject(garbage: str) -> None:
    facts = whole(exec_head().replace(token().encode(), garbage.encode() or b"-")).exec
    assert facts is not None
    assert facts.user == ""


def test_an_audit_id_is_added_only_where_there_is_none() -> None:
    added = whole(exec_head())
    assert added.audit_id == new_audit_id(RANDOM)
    assert added.send.count(b"Audit-ID: " + added.audit_id.encode()) == 1
    own = exec_head("audit-id: mine")
    kept = whole(own)
    assert (kept.audit_id, kept.send) == ("mine", own)
    empty = whole(exec_head("Audit-ID:"))
    assert empty.send.index(empty.audit_id.encode()) < empty.send.index(b"Audit-ID:\r\n")


def test_nothing_else_of_an_exec_is_changed() -> None:
    head = exec_head("X-Odd:   value  ", "x-odd: again")
    line_end = head.index(b"\n") + 1
    decision = whole(head + b"tail")
    added = f"Audit-ID: {decision.audit_id}\r\n".encode()
    assert decision.send == head[:line_end] + added + head[line_end:]
    assert decision.rest == b"tail"


def test_an_ordinary_request_is_closed_off() -> None:
    decision = whole(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\nbody")
    assert decision.send == b"GET /version HTTP/1.1\r\n" + CLOSE_FIELD + b"Host: x\r\n\r\n"
    assert decision.rest == b"body"
    assert not decision.watch


def test_the_closing_off_can_be_switched_off() -> None:
    head = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    decision = decide(bytearray(head), 0, RANDOM, close_off=False)
    assert decision is not None
    assert (decision.send, decision.notes) == (head, ("not_closed_off",))


@pytest.mark.parametrize(
    ("field", "watched"),
    [
        (b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade", True),
        (b"Upgrade: SPDY/3.1\r\nConnection: Upgrade\r\nContent-Length: 0", True),
        (b"Upgrade: SPDY/3.1\r\nConnection: Upgrade\r\nContent-Length: 5", False),
        (b"Upgrade: SPDY/3.1\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked", False),
        (b"Upgrade: h2c\r\nConnection: Upgrade", False),
        (b"Upgrade: websocket", False),
    ],
)
def test_another_upgrade_is_watched_where_that_cannot_hang(field: bytes, watched: bool) -> None:
    decision = whole(b"POST /x HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n")
    assert decision.watch is watched
    assert (CLOSE_FIELD in decision.send) is not watched


def padded(head: bytes, length: int) -> bytes:
    """Return the head, made `length` bytes long by one more field."""
    room = length - len(head) - len(b"X: \r\n")
    return head[:-2] + b"X: " + b"a" * room + b"\r\n\r\n"


def test_a_head_of_exactly_64_kib_is_read_and_one_byte_more_is_not() -> None:
    fits = padded(exec_head(), MAX_HEAD_BYTES)
    assert len(fits) == MAX_HEAD_BYTES
    assert whole(fits).exec is not None
    over = padded(exec_head(), MAX_HEAD_BYTES + 1)
    for cuts in ([], [MAX_HEAD_BYTES - 1], [MAX_HEAD_BYTES], [100, MAX_HEAD_BYTES]):
        decision = in_pieces(over, cuts)
        assert decision is not None
        assert decision.refuse == OVERSIZED


def test_an_exec_whose_argv_is_over_64_kib_is_refused() -> None:
    head = exec_head(query="tty=true&command=" + "a" * MAX_HEAD_BYTES)
    assert whole(head[:MAX_HEAD_BYTES]).refuse == OVERSIZED


def test_a_target_of_which_no_path_can_be_seen_is_refused() -> None:
    assert whole(b"GET http://" + b"a" * MAX_HEAD_BYTES).refuse == OVERSIZED


def test_another_long_head_passes_closed_off() -> None:
    head = padded(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n", MAX_HEAD_BYTES + 10)
    decision = whole(head)
    assert decision.notes == ("head_unparsed", "closed_off")
    assert decision.send + decision.rest == head.replace(
        b"\r\nHost", b"\r\n" + CLOSE_FIELD + b"Host"
    )


@pytest.mark.parametrize(
    "spoilt",
    [
        exec_head("No colon here"),
        exec_head("Space : x"),
        exec_head("X: a\x00b"),
        exec_head(": empty"),
        exec_head().replace(b"HTTP/1.1\r\nHost", b"HTTP/1.1\r\n Host"),
    ],
)
def test_an_exec_that_go_would_refuse_is_refused_here(spoilt: bytes) -> None:
    assert whole(spoilt).refuse == MALFORMED


def test_a_spoilt_head_of_another_request_is_left_to_the_api_server() -> None:
    head = b"GET /version HTTP/1.1\r\nHost : x\r\n\r\n"
    decision = whole(head)
    assert decision.refuse is None
    assert decision.notes == ("head_malformed", "closed_off")


def test_nothing_of_a_head_is_in_a_repr() -> None:
    secret = "s3cr3t"
    head = exec_head(f"Cookie: {secret}", query=f"tty=true&stdin=true&command={secret}")
    parsed = parse(head)
    assert parsed is not None
    target = read_target(b"POST", parsed.line.target)
    for thing in (parsed, parsed.line, target, whole(head), whole(head).exec):
        assert secret not in repr(thing)
