"""Hostile request streams, and the check that no exec in them passes the gateway unseen.

Owns the corpus, the generators and the check against Go's server. Called by the fast
tests of the gateway's heads and by the long one.
"""

from __future__ import annotations

from hypothesis import strategies as st
from radar_audit_collector.capture.gateway.rules import Decision, decide, pass_line

from tests.support.gateway_world import exec_head
from tests.support.go_heads import GoHeads, Seen

RANDOM = bytes(range(16))
EXEC_2 = exec_head(pod="second")
VERSION = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


def passing(stream: bytes, piece_bytes: int) -> tuple[bytes, Decision | None]:
    """Return what of a client's stream goes upstream while nothing but 403 comes back."""
    buffer, looked_at = bytearray(), 0
    pieces = [stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)]
    while pieces:
        buffer += pieces.pop(0)
        decision = decide(buffer, looked_at, RANDOM, close_off=True)
        looked_at = len(buffer)
        if decision is None:
            continue
        if decision.refuse is not None or decision.watch:
            return decision.send, decision
        sent, held, line_open = decision.send, bytearray(decision.rest), decision.line_open
        for piece in [b"", *pieces]:
            held += piece
            if line_open:
                passed, is_over = pass_line(held)
                sent += passed
                line_open = not is_over
            if not line_open:
                sent += bytes(held)
                held.clear()
        return sent, decision
    return b"", None


def check(go: GoHeads, stream: bytes, piece_bytes: int = 1 << 20) -> list[Seen]:
    sent, decision = passing(stream, piece_bytes)
    seen = go.requests(sent)
    assert len(seen) <= 1, "a later request was let through"
    for request in seen:
        assert decision is not None
        if not request.is_exec:
            continue
        assert decision.watch, "an exec passed unwatched"
        facts = decision.exec
        if facts is None:
            assert "exec_unnamed" in decision.notes
            continue
        assert request.names[3] == facts.namespace.encode()
        assert request.names[5] == facts.pod.encode()
        assert request.names[6] == facts.subresource.encode()
        assert {b"GET": "get", b"POST": "create"}[request.method] == facts.verb
        assert request.audit_id.decode("utf-8", "replace") == decision.audit_id
        assert (request.user.decode("utf-8", "replace") or None) == facts.impersonated_user
        groups = tuple(group.decode("utf-8", "replace") for group in request.groups)
        assert groups == facts.impersonated_groups
        assert (request.tty, request.stdin) == (facts.tty, facts.stdin)
        if facts.container is not None:
            assert request.container == facts.container.encode()
    return seen


HOSTILE = {
    "pipelined exec": VERSION + EXEC_2,
    "exec behind an exec": exec_head() + EXEC_2,
    "exec behind a port-forward": exec_head().replace(b"/exec?", b"/portforward?") + EXEC_2,
    "bare line feeds": exec_head().replace(b"\r\n", b"\n"),
    "mixed line ends": exec_head().replace(b"\r\n", b"\n", 3) + EXEC_2,
    "lone CR before the end": VERSION.replace(b"\r\n\r\n", b"\r\n\r\r\n") + EXEC_2,
    "head ends by LF LF": VERSION.replace(b"\r\n", b"\n") + EXEC_2,
    "head ends by CR LF LF": VERSION.replace(b"\r\n\r\n", b"\r\n\n") + EXEC_2,
    "blank continuation": VERSION.replace(b"\r\n\r\n", b"\r\n \r\n\r\n") + EXEC_2,
    "folded first line": VERSION.replace(b"\r\nHost", b"\r\n Host") + EXEC_2,
    "folded close": VERSION.replace(b"\r\n\r\n", b"\r\nConnection:\r\n keep-alive\r\n\r\n")
    + EXEC_2,
    "keep-alive": VERSION.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n") + EXEC_2,
    "HTTP/1.0 keep-alive": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + EXEC_2,
    "HTTP/0.9": b"GET /version\r\n\r\n" + EXEC_2,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EXEC_2,
    "HTTP/1.9": VERSION.replace(b"HTTP/1.1", b"HTTP/1.9") + EXEC_2,
    "leading line ends": b"\r\n\r\n" + exec_head(),
    "chunked before": b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + EXEC_2,
    "chunked and length": b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Length: 5\r\n\r\n0\r\n\r\n" + EXEC_2,
    "obfuscated chunked": b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n"
    b"Content-Length: 5\r\n\r\n0\r\n\r\n" + EXEC_2,
    "two lengths": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n"
    + EXEC_2,
    "GET with a body": b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + EXEC_2,
    "exec with a chunked body": exec_head("Transfer-Encoding: chunked").replace(
        b"Content-Length: 0\r\n", b""
    )
    + b"0\r\n\r\n"
    + EXEC_2,
    "expect": b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
    + EXEC_2,
    "absolute form": exec_head().replace(b"/api/v1", b"http://elsewhere/api/v1"),
    "absolute form, empty authority": exec_head().replace(b"/api/v1", b"http:///api/v1"),
    "scheme without authority": exec_head().replace(b"/api/v1", b"x:/api/v1"),
    "opaque": exec_head().replace(b"/api/v1", b"x:api/v1"),
    "connect": exec_head().replace(b"POST /", b"CONNECT /"),
    "connect with authority": exec_head().replace(b"POST /api", b"CONNECT host/api"),
    "fragment": exec_head().replace(b"/exec?", b"/exec#?"),
    "encoded once": exec_head().replace(b"/exec?", b"/%65%78ec?"),
    "encoded twice": exec_head().replace(b"/exec?", b"/%2565xec?"),
    "encoded slash": exec_head().replace(b"/exec?", b"%2fexec?"),
    "encoded question mark": exec_head().replace(b"/exec?", b"/exec%3f"),
    "broken escape": exec_head().replace(b"/exec?", b"/exec%?"),
    "broken escape in a flag": exec_head(query="tty=%zz&stdin=true"),
    "semicolons": exec_head(query="tty=true;stdin=true&stdin=true"),
    "repeated flags": exec_head(query="tty=false&tty=true&stdin=0&stdin=1"),
    "empty flags": exec_head(query="tty=&stdin"),
    "encoded names": exec_head(query="%74ty=true&st%69n=true&stdin=%66alse"),
    "repeated container": exec_head(query="container=a&container=b&tty=true&stdin=true"),
    "no path": exec_head().replace(b"/api/v1/namespaces/shop/pods/nginx-0/exec", b""),
    "dot segments": exec_head().replace(b"/pods/", b"/pods/../pods/"),
    "double slash": exec_head().replace(b"/pods/", b"//pods/"),
    "tab in the line": exec_head().replace(b"POST /", b"POST\t/"),
    "two spaces": exec_head().replace(b"POST /", b"POST  /"),
    "CR in the line": exec_head().replace(b" HTTP/1.1", b"\r HTTP/1.1"),
    "space in a name": exec_head("Impersonate-User : mallory"),
    "underscore": exec_head("Impersonate_User: mallory"),
    "NUL in a value": exec_head("X: \x00"),
    "DEL in a value": exec_head("X: \x7f"),
    "high bytes": exec_head().replace(b"user_01", "bj\u00f6rn\u65e5".encode() + b"\xff"),
    "folded user": exec_head().replace(b"User: user_01", b"User:\r\n\tuser\r\n  _01 "),
    "empty user": exec_head(user=""),
    "two users": exec_head("Impersonate-User: mallory"),
    "own audit id": exec_head("Audit-ID: one", "AUDIT-ID: two"),
    "empty audit id": exec_head("Audit-ID: ", "Audit-ID: two"),
    "two hosts": exec_head("Host: other"),
    "unknown method": exec_head(method="GET").replace(b"GET", b"PATCH", 1),
}


ODD_BYTES = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"\x00",
        b"/",
        b"%",
        b"%2f",
        b"?",
        b"&",
        b"=",
        b";",
        b"a",
    ]
)
LINES = st.sampled_from(
    [
        b"Host: x",
        b"Connection: keep-alive",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Upgrade: SPDY/3.1",
        b"Content-Length: 0",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Impersonate-User: alice",
        b"impersonate-user: mallory",
        b"Impersonate-Group: radar:owner",
        b"IMPERSONATE-GROUP: x",
        b"Audit-ID: id",
        b"Expect: 100-continue",
        b" folded",
        b"\tfolded: too",
        b"",
        b"abc",
    ]
)
TARGETS = st.sampled_from(
    [
        b"/api/v1/namespaces/shop/pods/nginx-0/exec?tty=true&stdin=1",
        b"/api/v1/namespaces/shop/pods/nginx-0/attach",
        b"/api/v1/namespaces/shop/pods/nginx-0/portforward",
        b"/version",
        b"http://h/api/v1/namespaces/shop/pods/nginx-0/exec",
        b"*",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET", b"POST", b"CONNECT", b"PUT", b"get"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b""]))
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))
    lines = [method + b" " + draw(TARGETS) + b" " + version, b"Host: x"]
    lines += draw(st.lists(LINES, max_size=8))
    return end.join(lines) + end + draw(st.sampled_from([end, end, b""]))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    stream = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(stream)))
        stream = stream[:at] + draw(ODD_BYTES) + stream[at + draw(st.integers(0, 2)) :]
    return stream
