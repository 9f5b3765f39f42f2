"""`export`: whole or visibly not, atomic, and gone on with without a double or a gap."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from radar_audit_cli.errors import ArgumentError
from radar_audit_cli.part_file import ExportNote, PartFile

from tests.cli.conftest import PROGRAM, Cli
from tests.cli.contract_hub import ORG, START_MS, ContractHub, Fault, make_event, problem


def _ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def _newest_first(hub: ContractHub) -> list[str]:
    order = sorted(hub.events, key=lambda event: (event["created_at"], event["id"]), reverse=True)
    return [event["id"] for event in order]


def test_a_whole_export_gets_its_name_and_leaves_nothing_else(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(seq) for seq in range(50)]
    target = tmp_path / "out" / "log.ndjson"
    target.parent.mkdir()
    result = cli("export", "-O", str(target))
    assert (result.code, result.out) == (0, "")
    assert f"50 events in {target}" in result.err
    assert _ids(target) == _newest_first(hub)
    assert [path.name for path in target.parent.iterdir()] == ["log.ndjson"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_the_form_follows_the_name_and_csv_counts_no_header(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(seq) for seq in range(3)]
    result = cli("export", "-O", str(tmp_path / "log.csv"))
    assert "3 events in" in result.err
    assert (tmp_path / "log.csv").read_bytes().count(b"\r\n") == 4


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_cut_export_exits_8_and_never_gets_its_name(
    hub: ContractHub, cli: Cli, tmp_path: Path, form: str
) -> None:
    hub.events = [make_event(seq) for seq in range(50)]
    hub.cut_after = [20]
    target = tmp_path / f"log.{form}"
    result = cli("export", "-O", str(target))
    assert result.code == 8
    assert "not whole" in result.err
    assert "closed the connection before the end" in result.err
    assert ("--resume" in result.err) == (form == "ndjson")
    assert not target.exists()
    assert (tmp_path / f"log.{form}.part").stat().st_size > 0


def test_resume_goes_on_with_the_remembered_filter(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(seq) for seq in range(60)]
    hub.events += [make_event(seq, action="pat.created") for seq in range(60, 80)]
    hub.cut_after = [20, 15]
    target = tmp_path / "log.ndjson"
    assert cli("export", "--action", "pod.exec_started", "-O", str(target)).code == 8
    hub.events.append(make_event(99))  # newer than all that was exported: not part of this export
    assert cli("export", "--resume", "-O", str(target)).code == 8
    result = cli("export", "--resume", "-O", str(target))
    assert result.code == 0
    assert _ids(target) == [event["id"] for event in hub.events[59::-1]]
    assert [path.name for path in tmp_path.glob("log*")] == ["log.ndjson"]


def test_resume_within_one_millisecond_gives_no_double_and_no_gap(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(seq, time_ms=START_MS) for seq in range(40)]
    hub.events += [make_event(seq, time_ms=START_MS + 1) for seq in range(40, 50)]
    hub.cut_after = [3, 4, 25, 12, 0]
    target = tmp_path / "log.ndjson"
    assert cli("export", "-O", str(target)).code == 8
    codes = [cli("export", "--resume", "-O", str(target)).code for _ in range(5)]
    assert codes == [8, 8, 8, 8, 0]
    assert sorted(_ids(target)) == sorted(_newest_first(hub))


def test_a_range_is_fixed_at_the_start_so_that_resuming_cannot_move_it(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(seq) for seq in range(10)]
    hub.cut_after = [0]
    target = tmp_path / "log.ndjson"
    assert cli("export", "--range", "30d", "-O", str(target)).code == 8
    assert cli("export", "--resume", "-O", str(target)).code == 0
    starts = [parse_qs(urlsplit(path).query)["from"] for path in hub.paths() if "format=" in path]
    assert len(starts) == 2
    assert starts[0] == starts[1]
    assert not any("range=" in path for path in hub.paths())


def test_resume_refuses_another_filter_another_hub_and_csv(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(seq) for seq in range(10)]
    hub.cut_after = [5, 5]
    target = tmp_path / "log.ndjson"
    cli("export", "--action", "pod.exec_started", "-O", str(target))
    other = cli("export", "--resume", "--action", "pat.created", "-O", str(target))
    assert other.code == 2
    assert "another filter" in other.err
    elsewhere = cli("export", "--resume", "--org", "org_other", "-O", str(target))
    assert elsewhere.code == 2
    assert "comes from" in elsewhere.err
    table = tmp_path / "log.csv"
    cli("export", "-O", str(table))
    assert "cannot be gone on with" in cli("export", "--resume", "-O", str(table)).err
    assert cli("export", "--resume", "-O", str(tmp_path / "none.ndjson")).code == 2


def test_nothing_is_overwritten_without_force(hub: ContractHub, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "log.ndjson"
    target.write_text("mine")
    result = cli("export", "-O", str(target))
    assert result.code == 2
    assert "--force replaces it" in result.err
    assert target.read_text() == "mine"
    assert hub.requests == []
    hub.events = [make_event(0)]
    assert cli("export", "--force", "-O", str(target)).code == 0
    assert _ids(target) == [hub.events[0]["id"]]


def test_a_left_part_is_neither_replaced_nor_taken_silently(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(seq) for seq in range(10)]
    hub.cut_after = [5]
    target = tmp_path / "log.ndjson"
    cli("export", "-O", str(target))
    before = (tmp_path / "log.ndjson.part").read_bytes()
    result = cli("export", "-O", str(target))
    assert result.code == 2
    assert "left from an export" in result.err
    assert (tmp_path / "log.ndjson.part").read_bytes() == before
    assert cli("export", "--force", "-O", str(target)).code == 0
    assert len(_ids(target)) == 10


def test_devices_and_links_are_not_replaced(hub: ContractHub, cli: Cli, tmp_path: Path) -> None:
    assert "no regular file" in cli("export", "--force", "-O", "/dev/null").err
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert cli("export", "--force", "-O", str(tmp_path / "link")).code == 2
    assert cli("export", "-O", str(tmp_path / "no" / "folder")).code == 2
    assert hub.requests == []


def test_a_refused_export_leaves_nothing_behind(hub: ContractHub, cli: Cli, tmp_path: Path) -> None:
    hub.faults = [problem(403, "forbidden", "you may not", required_role="owner")]
    result = cli("export", "--org", "org_test", "-O", str(tmp_path / "log.csv"))
    assert result.code == 1
    assert "role that may do this is owner" in result.err
    assert not list(tmp_path.glob("log*"))


def test_a_place_that_cannot_be_written_is_said_so(
    hub: ContractHub, cli: Cli, tmp_path: Path
) -> None:
    hub.events = [make_event(0)]
    too_long = cli("export", "-O", str(tmp_path / ("n" * 252)))
    assert too_long.code == 2
    assert "cannot be written: File name too long" in too_long.err
    refused = cli("export", "-O", "/proc/log.csv")
    assert refused.code == 1
    assert "cannot write /proc/log.csv.part" in refused.err


def test_an_answer_without_an_end_is_refused(hub: ContractHub, cli: Cli, tmp_path: Path) -> None:
    hub.events = [make_event(seq) for seq in range(5)]
    hub.close_delimited = True
    result = cli("export", "-O", str(tmp_path / "log.ndjson"))
    assert result.code == 1
    assert "does not say where it ends" in result.err
    assert not list(tmp_path.glob("log*"))


def test_a_clean_end_within_a_line_is_not_whole(hub: ContractHub, cli: Cli, tmp_path: Path) -> None:
    hub.faults = [Fault(200, '{"id": "ae_1", "crea')]
    target = tmp_path / "log.ndjson"
    result = cli("export", "--org", ORG, "-O", str(target))
    assert result.code == 8
    assert "in the middle of a line" in result.err
    assert not target.exists()


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "log.csv")
    note = ExportNote("https://a", ORG, "csv", {}, [("action", "pod.*")])
    part = file.create(note)
    part.write(b"id\r\n")
    assert file.read_note() == note
    file.path.write_text("mine")
    with pytest.raises(ArgumentError, match="appeared meanwhile"):
        file.finish(part, force=False)
    assert file.path.read_text() == "mine"
    assert file.part.read_bytes() == b"id\r\n"


def test_standard_output_gets_all_or_exit_code_8(hub: ContractHub, program: Cli) -> None:
    hub.events = [make_event(seq) for seq in range(30)]
    whole = program("export", "--format", "ndjson")
    assert [json.loads(line)["id"] for line in whole.out.splitlines()] == _newest_first(hub)
    assert whole.code == 0
    hub.cut_after = [11]
    cut = program("export", "--format", "ndjson")
    assert cut.code == 8
    assert len(cut.out.splitlines()) == 12
    assert cut.out.splitlines()[:11] == whole.out.splitlines()[:11]
    assert "Traceback" not in cut.err


def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(hub: ContractHub, tmp_path: Path) -> None:
    hub.events = [make_event(seq) for seq in range(1000)]
    hub.cut_after = [900]
    hub.stands_still = True
    target = tmp_path / "log.ndjson"
    process = subprocess.Popen(
        [PROGRAM, "export", "-O", str(target)], stderr=subprocess.PIPE, text=True
    )
    try:
        part = tmp_path / "log.ndjson.part"
        while not part.exists() or not part.stat().st_size:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2
    assert "cancelled; what came is in" in err
    assert "--resume" in err
    assert not target.exists()


def test_a_full_disk_keeps_the_part_and_exits_8(hub: ContractHub, tmp_path: Path) -> None:
    hub.events = [make_event(seq) for seq in range(1000)]
    target = tmp_path / "log.ndjson"
    # A limit on the size of files fails a write as a full disk does.
    limited = subprocess.run(
        ["sh", "-c", f'ulimit -f 100; exec "{PROGRAM}" export -O "{target}"'],
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    assert limited.returncode == 8
    assert "cannot write" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert not target.exists()
    done = subprocess.run(
        [PROGRAM, "export", "--resume", "-O", str(target)], timeout=30, check=False
    )
    assert done.returncode == 0
    assert _ids(target) == _newest_first(hub)


def test_standard_output_knows_no_resume(hub: ContractHub, cli: Cli) -> None:
    assert cli("export", "--resume").code == 2
    assert cli("export", "--force", "-O", "-").code == 2


def test_the_token_is_in_no_file_of_an_export(hub: ContractHub, cli: Cli, tmp_path: Path) -> None:
    hub.events = [make_event(seq) for seq in range(30)]
    hub.cut_after = [11]
    cli("export", "-O", str(tmp_path / "log.ndjson"))
    left = list(tmp_path.glob("log*"))
    assert len(left) == 2
    assert not any(b"rhp_" in path.read_bytes() for path in left)
    assert {stat.S_IMODE(path.stat().st_mode) for path in left} == {0o600}
