"""What a person is told, and with which exit code, when the hub does not answer well."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from radar_audit_cli.errors import CliError, CutError, RefusedError, UnreachableError
from radar_audit_cli.problems import retry_after_seconds
from radar_audit_cli.transport import Transport

from tests.cli.conftest import Cli
from tests.cli.contract_hub import ORG, TOKEN, ContractHub, Fault, make_event, problem


@pytest.mark.parametrize(
    "fault, code, said",
    [
        (problem(401, "unauthorized", "the token has expired"), 4, "hint: make a new token"),
        (problem(403, "forbidden", "only owners", required_role="owner"), 1, "this is owner"),
        (
            problem(
                403, "forbidden", "no", required_role="owner", required_roles=["owner", "member"]
            ),
            1,
            "this is owner or member",
        ),
        (
            problem(403, "forbidden", "no", required_role="owner", required_scope="org:read"),
            1,
            "shows the scopes of your token",
        ),
        (problem(404, "not_found", "there is no such organization"), 1, "no such organization"),
        (problem(400, "invalid_parameter", "unknown action"), 2, "unknown action"),
        (problem(500, "internal", "a fault of the hub"), 1, "a fault of the hub"),
        (Fault(502, "<html>bad gateway</html>"), 1, "answered with status 502"),
        (Fault(500, "[]"), 1, "answered with status 500"),
    ],
)
def test_a_refusal_is_one_sentence_with_the_requests_id(
    hub: ContractHub, cli: Cli, fault: Fault, code: int, said: str
) -> None:
    hub.faults = [fault]
    result = cli("query", "--org", ORG)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert result.err.startswith("radar-audit: ")
    if isinstance(fault.document, dict):
        assert "(request req-1)" in result.err.splitlines()[0]


def test_the_fields_of_a_problem_are_named(hub: ContractHub, cli: Cli) -> None:
    errors = [{"field": "actor", "message": "no such member"}, "nonsense", {"field": 1}]
    hub.faults = [problem(400, "invalid_parameter", "a parameter is wrong.", errors=errors)]
    assert "a parameter is wrong; actor: no such member" in cli("query", "--org", ORG).err


def test_a_hubs_words_cannot_move_the_cursor(hub: ContractHub, cli: Cli) -> None:
    hub.faults = [problem(400, "x", "a\x1b[2Jb\u202e", request_id="r\r\n")]
    err = cli("query", "--org", ORG).err
    assert r"a\x1b[2Jb\u202e (request r\r\n)" in err


def test_a_redirect_is_named_and_the_token_does_not_follow(hub: ContractHub, cli: Cli) -> None:
    with ContractHub() as other:
        hub.faults = [Fault(302, "", {"Location": f"{other.url}/api/me"})]
        result = cli("whoami")
        assert other.requests == []
    assert result.code == 1
    assert "redirects to" in result.err


def _transport(url: str, pauses: list[float], *, ca_file: str | None = None) -> Transport:
    return Transport(url, TOKEN, ca_file=ca_file, sleep=pauses.append)


def _get(transport: Transport, path: str = "/me") -> bytes:
    with transport.get(path) as answer:
        return answer.body(1_000_000)


def test_a_busy_hub_is_asked_again_after_the_time_it_names(hub: ContractHub) -> None:
    hub.faults = [
        problem(429, "too_many_requests", "slowly", retry_after=7),
        problem(503, "unavailable", "starting", retry_after=3),
    ]
    pauses: list[float] = []
    assert b"alice" in _get(_transport(hub.url, pauses))
    assert pauses == [7, 3]


def test_a_busy_hub_is_not_asked_for_ever(hub: ContractHub) -> None:
    hub.faults = [problem(503, "unavailable", "away") for _ in range(9)]
    pauses: list[float] = []
    with pytest.raises(RefusedError, match="away"):
        _get(_transport(hub.url, pauses))
    assert pauses == [0.5, 1.0, 2.0]
    assert len(hub.faults) == 5


def test_a_long_wait_is_a_persons_decision(hub: ContractHub) -> None:
    hub.faults = [problem(429, "too_many_requests", "in an hour", retry_after=3600)]
    pauses: list[float] = []
    with pytest.raises(RefusedError) as caught:
        _get(_transport(hub.url, pauses))
    assert caught.value.retry_after_seconds == 3600
    assert pauses == []


def test_other_refusals_are_not_repeated(hub: ContractHub) -> None:
    hub.faults = [problem(500, "internal", "a fault")]
    with pytest.raises(RefusedError):
        _get(_transport(hub.url, []))
    assert len(hub.requests) == 1


def test_retry_after_is_read_as_seconds_or_date() -> None:
    assert retry_after_seconds("12", 0) == 12
    assert retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", 20) == 40
    assert retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", 90) == 0
    for nonsense in (None, "", "soon", "-1", "1.5", "99999999999999999999999999"):
        value = retry_after_seconds(nonsense, 0)
        assert value is None or 0 <= value < 1e9


def test_every_way_to_get_no_answer_is_a_sentence(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused = cli("whoami", "--url", f"http://127.0.0.1:{port}")
    assert refused.code == 1
    assert "connection refused" in refused.err
    unknown = cli("whoami", "--url", "https://no-such-name.invalid")
    assert unknown.code == 1
    assert "no-such-name.invalid" in unknown.err
    assert "0x" not in unknown.err


def test_a_hub_that_hangs_up_is_asked_again_then_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(4):
                connection, _ = server.accept()
                connection.recv(65536)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        pauses: list[float] = []
        transport = _transport(f"http://127.0.0.1:{server.getsockname()[1]}", pauses)
        with pytest.raises(UnreachableError, match=r"failed|closed the connection"):
            _get(transport)
        thread.join()
    assert pauses == [0.5, 1.0, 2.0]


def test_a_silent_hub_is_given_up(hub: ContractHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = _transport(f"http://127.0.0.1:{server.getsockname()[1]}", [])
        answer = transport.get("/me", read_seconds=0.05)
        with pytest.raises(UnreachableError, match="stopped sending"), answer:
            pass


def test_a_body_cut_within_its_length_is_noticed(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(10)]
    hub.cut_after = [4]
    with pytest.raises(CutError, match="before the end"):
        _get(_transport(hub.url, []), f"/orgs/{ORG}/audit?format=ndjson")


def test_an_endless_answer_is_not_read_into_memory(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(100)]
    path = f"/orgs/{ORG}/audit?format=ndjson"
    limit = pytest.raises(CliError, match="longer than 1000 bytes")
    with limit, _transport(hub.url, []).get(path) as answer:
        answer.body(1000)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_hub(authority: trustme.CA) -> Iterator[ContractHub]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ContractHub(context) as running:
        yield running


def test_a_hub_is_trusted_by_the_named_authority_only(
    tls_hub: ContractHub,
    authority: trustme.CA,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RADAR_AUDIT_TOKEN", TOKEN)
    stranger = cli("whoami", "--url", tls_hub.url)
    assert stranger.code == 1
    assert "is not trusted" in stranger.err
    assert "--ca-file" in stranger.err
    assert tls_hub.requests == []
    with ContractHub() as plain:
        untaught = cli("whoami", "--url", plain.url.replace("http:", "https:"))
    assert untaught.code == 1
    assert "does not speak TLS: is it an http:// address?" in untaught.err
    assert "--ca-file" not in untaught.err
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    assert cli("whoami", "--url", tls_hub.url, "--ca-file", str(pem)).code == 0
    monkeypatch.setenv("RADAR_AUDIT_CA_FILE", str(tmp_path / "none.pem"))
    missing = cli("whoami", "--url", tls_hub.url)
    assert missing.code == 2
    assert "none.pem" in missing.err


def test_verbose_logs_requests_and_never_the_token(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(0)]
    hub.faults = [problem(503, "unavailable", "starting", retry_after=0)]
    result = cli("query", "-v", "--actor", "alice@acme.com")
    assert result.code == 0
    assert "GET http://127.0.0.1" in result.err
    assert "actor=alice%40acme.com" in result.err
    assert "waiting 0.5 s: starting" in result.err
    assert "rhp_" not in result.err
