"""The program's commands: what they print, what they never print, and how they exit."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from radar_audit_collector.main import main
from radar_audit_collector.settings import PREFIX
from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_records import NewEvent, NewGap, Refusal, Settlement

from tests.support.audit_lines import ARGV_SECRET, audit_line

RECORDED, OTHER = audit_line(), audit_line(principal="admin")


def feed(monkeypatch: pytest.MonkeyPatch, *lines: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n".join(lines))))


@pytest.fixture
async def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with two events, one of them refused, and a gap."""
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(tmp_path))
    spool = Spool(tmp_path / "spool", 64 * 1024 * 1024)
    await spool.open()
    payload = b'{"action":"pod.exec_started","session_id":"s1"}'
    await spool.append([NewEvent(0, None, payload), NewEvent(60_000, None, payload)], {})
    first = (await spool.peek(1, 1000))[0]
    await spool.settle(Settlement(dead=[Refusal(first.seq, "not_allowed", "because")]))
    await spool.add_gap(NewGap("spool_full", 0, 1000, 7))
    await spool.close()
    return tmp_path


async def test_dead_letter_that_is_garbled_or_moves_a_cursor_is_shown_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(tmp_path))
    spool = Spool(tmp_path / "spool", 64 * 1024 * 1024)
    await spool.open()
    await spool.append([NewEvent(0, None, b'{"action":\xff')], {})
    seq = (await spool.peek(1, 1000))[0].seq
    await spool.settle(Settlement(dead=[Refusal(seq, "no\x1b[2J", "\u202egnorw")]))
    await spool.close()
    for form in ("text", "json"):
        assert main(["spool", "dead-letters", "-o", form]) == 0
        text = capsys.readouterr().out
        assert "no" in text
        assert "\x1b" not in text


def test_check_tells_a_recorded_line_by_exit_code_and_prose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, RECORDED)
    assert main(["check"]) == 0
    assert "Recorded as the start" in capsys.readouterr().out


def test_check_tells_why_a_line_is_not_recorded_without_its_argv(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, OTHER, b"", b"garbage " + ARGV_SECRET.encode())
    assert main(["check", "-"]) == 5
    output = capsys.readouterr()
    assert output.out.count("Not recorded") == 2
    assert ARGV_SECRET not in output.out + output.err


def test_check_writes_one_json_object_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "audit.log"
    file.write_bytes(OTHER + b"\n" + RECORDED + b"\n")
    assert main(["check", "-o", "json", str(file)]) == 0
    verdicts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    keys = ("line", "recorded", "outcome", "reason")
    assert [[v[key] for key in keys] for v in verdicts] == [
        [1, False, None, "not_radar"],
        [2, True, "started", None],
    ]


def test_check_numbers_the_lines_and_sums_up_many(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, b"{}", b"", RECORDED, OTHER, b"garbage")
    assert main(["check"]) == 0
    text = capsys.readouterr().out
    assert [part.split(":")[0] for part in text.split("\n\n")[:-1]] == [
        "line 1",
        "line 3",
        "line 4",
        "line 5",
    ]
    first, _, *reasons = text.split("\n\n")[-1].splitlines()
    assert first == "Of 4 lines 1 would be recorded."
    assert [reason.split()[0] for reason in reasons] == ["2", "1"]


def test_check_follows_the_settings_of_capture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{PREFIX}EXCLUDE_NAMESPACES", "demo")
    feed(monkeypatch, RECORDED)
    assert main(["check"]) == 5
    assert "namespace" in capsys.readouterr().out


def test_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "/nowhere/audit.log"]) == 1
    assert capsys.readouterr().err == (
        "radar-audit-collector: /nowhere/audit.log: No such file or directory\n"
    )


def test_spool_show_tells_depth_and_losses(
    spool_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spool", "show"]) == 0
    text = capsys.readouterr().out
    assert "events waiting   1" in text
    assert "1970-01-01T00:01:00.000Z" in text
    assert "7 events" in text
    assert main(["spool", "show", "-o", "json"]) == 0
    view = json.loads(capsys.readouterr().out)
    assert (view["events"], view["dead_letters"]) == (1, 1)
    assert [gap["count"] for gap in view["gaps"]] == [7]


def test_dead_letters_tell_event_and_reason(
    spool_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spool", "dead-letters"]) == 0
    text = capsys.readouterr().out
    assert "not_allowed" in text
    assert "session s1" in text
    assert main(["spool", "dead-letters", "-o", "json"]) == 0
    letter = json.loads(capsys.readouterr().out)
    assert (letter["message"], letter["event"]["session_id"]) == ("because", "s1")


async def test_spool_of_a_running_collector_can_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(tmp_path))
    spool = Spool(tmp_path / "spool", 64 * 1024 * 1024)
    await spool.open()
    try:
        await spool.append([NewEvent(0, None, b"{}")], {})
        assert main(["spool", "show"]) == 0
        assert "events waiting   1" in capsys.readouterr().out
        await spool.append([NewEvent(0, None, b"{}")], {})
    finally:
        await spool.close()


def test_spool_commands_say_where_they_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(tmp_path))
    assert main(["spool", "dead-letters"]) == 1
    assert f"there is no spool in {tmp_path}/spool" in capsys.readouterr().err


def test_wrong_settings_are_all_named_and_exit_with_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{PREFIX}HUB_URL", "https://hub.example.com")
    monkeypatch.setenv(f"{PREFIX}RETRY_MAX_SECONDS", "soon")
    assert main(["run"]) == 2
    errors = capsys.readouterr().err
    assert f"{PREFIX}TOKEN" in errors
    assert f"{PREFIX}RETRY_MAX_SECONDS" in errors


def test_version_and_help_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["--help"], ["run", "--help"], ["spool", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert "radar-audit-collector" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
