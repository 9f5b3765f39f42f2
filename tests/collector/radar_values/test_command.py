"""The command `radar-values`: what it prints, refuses, and never loads in a sidecar."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from radar_audit_collector.main import main
from radar_audit_collector.settings import load_settings

BEFORE = """\
replicaCount: 1   # one
env:
  - {name: A, value: "yes"}
odd: [yes, 1e3, 010, 2020-01-01, "0x1"]
rbac: {podExec: true}
"""


@pytest.fixture
def before(tmp_path: Path) -> str:
    file = tmp_path / "before.yaml"
    file.write_text(BEFORE)
    return str(file)


def test_the_block_alone_is_valid_yaml_with_settings_that_the_collector_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["radar-values", "--service-account", "tools/viewer"]) == 0
    block = yaml.safe_load(capsys.readouterr().out)
    assert set(block) == {"env", "extraVolumes", "extraVolumeMounts", "initContainers"}
    (sidecar,) = block["initContainers"]
    environ = {entry["name"]: entry["value"] for entry in sidecar["env"]}
    assert all(isinstance(value, str) for value in environ.values())
    token = tmp_path / "token"
    token.write_text("a.b.c")
    environ["RADAR_AUDIT_COLLECTOR_TOKEN_FILE"] = str(token)
    settings = load_settings(environ).with_gateway_only()
    assert settings.radar_service_account == "tools/viewer"
    mounts = {mount["name"] for mount in sidecar["volumeMounts"]}
    mounts |= {mount["name"] for mount in block["extraVolumeMounts"]}
    assert mounts == {volume["name"] for volume in block["extraVolumes"]}


def test_a_secret_takes_the_place_of_the_pods_own_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["radar-values", "--token-secret", "radar-audit-collector"]) == 0
    block = yaml.safe_load(capsys.readouterr().out)
    (hub,) = [volume for volume in block["extraVolumes"] if volume["name"] == "radar-audit-hub"]
    (source,) = hub["projected"]["sources"]
    assert source == {
        "secret": {"name": "radar-audit-collector", "items": [{"key": "token", "path": "token"}]}
    }


def test_merging_and_removing_keep_each_word_as_it_was_written(
    before: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["radar-values", "--merge", before]) == 0
    after = capsys.readouterr().out
    for line in ("  - yes\n", "  - 1e3\n", "  - 010\n", "  - 2020-01-01\n", "  - '0x1'\n"):
        assert line in after
    assert "value: 'yes'" in after
    file = tmp_path / "after.yaml"
    file.write_text(after)
    assert main(["radar-values", "--merge", str(file)]) == 0
    assert capsys.readouterr().out == after
    assert main(["radar-values", "--remove", "--merge", str(file)]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(BEFORE)


def test_null_as_helm_prints_it_is_no_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "before.yaml"
    file.write_text("null\n")
    assert main(["radar-values", "--merge", str(file), "--pod-exec"]) == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["rbac"] == {"podExec": True}
    assert printed.err == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: 1\na: 2\n", "doubled"),
        ("- a\n", "no mapping"),
        ("a: [", "line 1"),
        ("[" * 2000, "cannot be read"),
        ("a: !!python/object:os.system x\n", "constructor"),
        ("a: \x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_values_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    file = tmp_path / "before.yaml"
    file.write_text(text)
    assert main(["radar-values", "--merge", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.count("\n") == 1


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "before.yaml"
    file.write_bytes(b"#" * (1024 * 1024 + 1))
    assert main(["radar-values", "--merge", str(file)]) == 1
    assert "too many" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--image", "radar-audit-collector"], "tag or digest"),
        (["--hub-url", "https://u:p@hub"], "without user"),
        (["--hub-url", "hub:8080"], "without user"),
        (["--service-account", "radar"], "NAMESPACE/NAME"),
        (["--token-secret", "Not A Name"], "the name of a Secret"),
        (["--token-secret-key", "a/b"], "a key of that Secret"),
        (["--audience", ""], "audience"),
        (["--requests", "cpu"], "--requests is 'cpu'; it must be none, or resources"),
        (["--requests", "cpu=20m,cpu=30m"], "--requests"),
        (["--limits", "memory=-1"], "such as cpu=20m,memory=64Mi"),
        (["--limits", ""], "--limits"),
        (["--remove"], "--merge"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["radar-values", *arguments]) == 1
    assert sentence in capsys.readouterr().err


def test_a_token_in_the_place_of_its_secrets_name_is_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["radar-values", "--token-secret", "rhc_supersecret"]) == 1
    assert "supersecret" not in capsys.readouterr().err


def test_a_collector_that_runs_loads_no_yaml() -> None:
    program = (
        "import sys; import radar_audit_collector.main as m; m._parser(); "
        "print(*sorted(n for n in sys.modules if n == 'yaml' or 'radar_values' in n))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [
        "radar_audit_collector.radar_values",
        "radar_audit_collector.radar_values.defaults",
        "radar_audit_collector.radar_values.options",
    ]
