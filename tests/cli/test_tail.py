"""`tail`: the last events, then each later one once, across whatever happens to the connection."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable

import pytest
from radar_audit_cli.errors import RefusedError
from radar_audit_cli.following import follow, head
from radar_audit_cli.hub_client import HubClient, open_client

from tests.cli.conftest import PROGRAM, Cli
from tests.cli.contract_hub import ORG, START_MS, TOKEN, ContractHub, Fault, make_event, problem


def _client(hub: ContractHub) -> HubClient:
    return open_client(hub.url, TOKEN, org=ORG, ca_file=None, log=None)


def _followed(
    hub: ContractHub, after_seq: int, count: int, notice: Callable[[str], None] = lambda _: None
) -> list[int]:
    pauses: list[float] = []
    events = follow(_client(hub), (), after_seq, notice=notice, sleep=pauses.append)
    seqs = []
    for event in events:
        seqs.append(event["seq"])
        if len(seqs) == count:
            break
    return seqs


def test_the_last_events_come_oldest_first(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(30)]
    result = cli("tail", "-n", "3", "-o", "name")
    assert result.out.split() == [event["id"] for event in hub.events[27:]]
    assert result.code == 0


def test_zero_lines_ask_for_no_events(hub: ContractHub, cli: Cli) -> None:
    assert cli("tail", "-n", "0", "--org", ORG, "-o", "name").out == ""
    assert hub.requests == []


def test_json_without_follow_is_a_list(hub: ContractHub, cli: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(2)]
    assert json.loads(cli("tail", "-o", "json").out) == hub.events


def test_following_goes_through_cuts_and_refusals_without_double_or_gap(
    hub: ContractHub,
) -> None:
    hub.events = [make_event(seq) for seq in range(100)]
    hub.cut_after = [7, 0, 50, 1]
    hub.faults = [problem(500, "internal", "a fault"), Fault(502, "bad gateway")]
    notices: list[str] = []
    assert _followed(hub, -1, 100, notices.append) == list(range(100))
    assert notices[0].startswith("a fault")
    assert notices[0].endswith("trying again")
    assert notices[1] == "connected again"


def test_an_event_that_an_answer_repeats_comes_once(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(3)]
    lines = [json.dumps(event) + "\n" for event in hub.events]
    link = {"Link": '<x?after_seq=1>; rel="next"'}
    hub.faults = [Fault(200, lines[0] + lines[1] + lines[0] + lines[1], link)]
    assert _followed(hub, -1, 3) == [0, 1, 2]


def test_an_answer_that_ends_within_an_event_is_asked_for_again(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(3)]
    lines = [json.dumps(event) + "\n" for event in hub.events]
    link = {"Link": '<x?after_seq=2>; rel="next"'}
    hub.faults = [Fault(200, lines[0] + lines[1][:40], link)]
    notices: list[str] = []
    assert _followed(hub, -1, 3, notices.append) == [0, 1, 2]
    assert "in the middle of a line" in notices[0]


def test_following_outlives_a_hub_that_is_away(hub: ContractHub) -> None:
    with ContractHub() as away:
        url = away.url
    client = open_client(url, TOKEN, org=ORG, ca_file=None, log=None)
    notices: list[str] = []

    class StopError(Exception):
        pass

    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            raise StopError

    with pytest.raises(StopError):
        next(follow(client, (), 0, notice=notices.append, sleep=pause))
    assert len(notices) == 1  # one line an outage, not one an attempt
    assert max(pauses) <= 30
    assert pauses[10] >= 15


def test_following_ends_when_the_token_is_revoked(hub: ContractHub) -> None:
    hub.faults = [problem(401, "unauthorized", "the token is revoked")]
    with pytest.raises(RefusedError, match="revoked"):
        _followed(hub, -1, 1)


def test_head_passes_events_that_came_late_with_an_older_time(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(5)]
    hub.events += [make_event(seq, time_ms=START_MS - seq) for seq in range(5, 2505)]
    assert head(_client(hub), ()) == 2504


def test_head_of_an_empty_log_lets_the_first_event_through(hub: ContractHub) -> None:
    assert head(_client(hub), ()) == -1


def _tail(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "tail", "-f", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_follow_joins_old_and_new_and_ctrl_c_ends_it(hub: ContractHub) -> None:
    hub.events = [make_event(seq) for seq in range(20)]
    process = _tail("-n", "2", "-o", "name")
    assert process.stdout is not None
    try:
        first = [process.stdout.readline().strip() for _ in range(2)]
        assert first == [event["id"] for event in hub.events[18:]]
        # Both are newer than the two that were shown, one by its time, one only by its order.
        hub.events.append(make_event(20))
        assert process.stdout.readline().strip() == hub.events[20]["id"]
        hub.events.append(make_event(21, time_ms=START_MS - 5000))
        assert process.stdout.readline().strip() == hub.events[21]["id"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert out == ""
    assert "Traceback" not in err
    assert process.returncode == 2


def test_follow_shows_an_event_once_that_is_stored_between_its_two_requests(
    hub: ContractHub,
) -> None:
    hub.events = [make_event(seq) for seq in range(3)]
    late = make_event(3)
    pages = [
        {"events": [hub.events[2]], "next_cursor": None},  # the newest, seq 2
        None,  # the walk to the head finds nothing
        {"events": [late, *hub.events[::-1]], "next_cursor": None},  # seq 3 is stored by now
    ]
    walked = Fault(200, "", {"Link": '<x?after_seq=2>; rel="next"'})
    hub.faults = [walked if page is None else Fault(200, page) for page in pages]
    hub.events += [late, make_event(4)]
    process = _tail("-o", "ndjson", "--org", ORG)
    assert process.stdout is not None
    try:
        seqs = [json.loads(process.stdout.readline())["seq"] for _ in range(5)]
    finally:
        process.kill()
        process.communicate(timeout=20)
    assert seqs == [0, 1, 2, 3, 4]
