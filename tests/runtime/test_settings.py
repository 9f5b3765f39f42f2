"""Guards the settings loader: every mistake is named at once, no secret is ever shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radar_audit_runtime.settings import SettingsError, describe, load, setting

SECRET = "rhc_do-not-show-me"


class Mode(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class Example:
    token: str = setting(help="What it proves itself with.", secret=True)
    wait_seconds: float = setting(1.5, help="Pause.", unit="seconds", minimum=0, maximum=10)
    size_bytes: int = setting(1024, help="Size.", unit="bytes", minimum=1)
    follow: bool = setting(False, help="Whether to go on.")
    folder: Path | None = setting(None, help="Where.")
    sources: tuple[str, ...] = setting(("a", "b"), help="Which.")
    level: Literal["debug", "info"] = setting("info", help="How much.")
    mode: Mode = setting(Mode.OPEN, help="How.")

    def __post_init__(self) -> None:
        if self.follow and not self.sources:
            raise ValueError("EX_FOLLOW is true, so EX_SOURCES must name at least one")


def problems(environ: dict[str, str], file: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(Example, "EX_", environ, file)
    return caught.value.problems


def test_values_are_read_as_the_types_of_their_fields() -> None:
    environ = {"EX_TOKEN": "t", "EX_WAIT_SECONDS": "2", "EX_SIZE_BYTES": "7", "EX_FOLLOW": "Yes"}
    environ |= {"EX_FOLDER": "/x", "EX_SOURCES": "q, r,", "EX_LEVEL": "debug", "EX_MODE": "closed"}
    assert load(Example, "EX_", environ) == Example(
        token="t", wait_seconds=2.0, size_bytes=7, follow=True, folder=Path("/x"),
        sources=("q", "r"), level="debug", mode=Mode.CLOSED,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = setting("n", help="Whose.")
    inner: Example = setting(help="A group.")
    last: str = setting("l", help="Behind it.")


def test_a_group_has_its_name_before_its_settings(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('inner_level = "debug"\nlast = "z"\n')
    outer = load(Outer, "EX_", {"EX_INNER_TOKEN": SECRET}, file)
    assert (outer.inner.token, outer.inner.level, outer.last) == (SECRET, "debug", "z")
    rows = [row.variable for row in describe(Outer, "EX_")]
    assert rows[:3] == ["EX_NAME", "EX_INNER_TOKEN", "EX_INNER_WAIT_SECONDS"]
    assert rows[-1] == "EX_LAST"
    with pytest.raises(SettingsError) as caught:
        load(Outer, "EX_", {"EX_INNER_SIZE_BYTES": "many", "EX_INNER_SIZE": "1"})
    assert [problem.split(" ")[0] for problem in caught.value.problems] == [
        "EX_INNER_TOKEN",
        "EX_INNER_SIZE_BYTES",
        "EX_INNER_SIZE",
    ]


def test_an_empty_optional_setting_is_none() -> None:
    assert load(Example, "EX_", {"EX_TOKEN": "t", "EX_FOLDER": ""}).folder is None


def test_every_problem_is_named_with_what_would_be_right() -> None:
    environ = {"EX_WAIT_SECONDS": "11", "EX_SIZE_BYTES": "many", "EX_FOLLOW": "maybe"}
    environ |= {"EX_LEVEL": "loud", "EX_MODE": "ajar", "EX_SOURCE": "x", "OTHER": "y"}
    assert problems(environ) == (
        "EX_TOKEN is not set; it is required: What it proves itself with.",
        "EX_WAIT_SECONDS is '11'; it must be a number of seconds, at least 0, at most 10",
        "EX_SIZE_BYTES is 'many'; it must be a whole number of bytes, at least 1",
        "EX_FOLLOW is 'maybe'; it must be true or false",
        "EX_LEVEL is 'loud'; it must be one of debug, info",
        "EX_MODE is 'ajar'; it must be one of open, closed",
        "EX_SOURCE is not a setting; the nearest one is EX_SOURCES",
    )


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_any_text_is_a_number_within_its_bounds_or_a_named_problem(text: str) -> None:
    named = ""
    seconds = 0.0
    try:
        seconds = load(Example, "EX_", {"EX_TOKEN": "t", "EX_WAIT_SECONDS": text}).wait_seconds
    except SettingsError as error:
        named = str(error)
    assert "EX_WAIT_SECONDS" in named if named else 0 <= seconds <= 10


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_numbers_that_are_no_amount_are_refused(text: str) -> None:
    assert "EX_WAIT_SECONDS" in problems({"EX_TOKEN": "t", "EX_WAIT_SECONDS": text})[0]


def test_a_rule_over_several_settings_is_reported_like_any_other() -> None:
    found = problems({"EX_TOKEN": "t", "EX_FOLLOW": "true", "EX_SOURCES": ""})
    assert found == ("EX_FOLLOW is true, so EX_SOURCES must name at least one",)


def test_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('token = "f"\nsources = ["x", "y"]\nsize_bytes = 5\nfollow = true\n')
    loaded = load(Example, "EX_", {"EX_CONFIG": str(file), "EX_SIZE_BYTES": "6"})
    assert (loaded.token, loaded.sources, loaded.size_bytes) == ("f", ("x", "y"), 6)
    assert loaded.follow
    assert loaded.wait_seconds == 1.5


def test_mistakes_in_the_file_are_named_as_variables(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('token = "f"\nsize_bytes = {a = 1}\nlevle = "info"\n')
    wrong_type, unknown = problems({}, file)
    assert wrong_type.startswith("EX_SIZE_BYTES is {'a': 1}; it must be a whole number")
    assert unknown == f"EX_LEVLE (a key of {file}) is not a setting; the nearest one is EX_LEVEL"


def test_an_unreadable_file_is_named_and_nothing_of_it_is_quoted(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"token = {SECRET}")
    assert problems({"EX_TOKEN": "t"}, file) == (
        f"the settings file {file} cannot be read: its text is not valid TOML",
    )
    assert "No such file" in problems({"EX_TOKEN": "t"}, tmp_path / "absent.toml")[0]


def test_a_secret_is_read_from_the_file_that_its_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    assert load(Example, "EX_", {"EX_TOKEN_FILE": str(file)}).token == SECRET
    both = problems({"EX_TOKEN_FILE": str(file), "EX_TOKEN": SECRET})
    assert both == ("EX_TOKEN and EX_TOKEN_FILE are both set; give one of them",)
    absent = problems({"EX_TOKEN_FILE": str(tmp_path / "no")})[0]
    assert absent.startswith("EX_TOKEN_FILE names ")


def test_only_secrets_are_read_from_files_of_their_own() -> None:
    found = problems({"EX_TOKEN": "t", "EX_LEVEL_FILE": "/etc/hostname"})
    assert found == ("EX_LEVEL_FILE is not a setting; the nearest one is EX_LEVEL",)


def test_a_secret_is_in_no_error_and_no_repr() -> None:
    @dataclass(frozen=True, kw_only=True)
    class WithNumber:
        pin: int = setting(1, help="A number that is secret.", secret=True)

    with pytest.raises(SettingsError) as caught:
        load(WithNumber, "EX_", {"EX_PIN": SECRET})
    assert SECRET not in str(caught.value)
    assert "not shown" in str(caught.value)
    assert SECRET not in str(problems({"EX_TOKNE": SECRET}))
    assert SECRET not in repr(load(Example, "EX_", {"EX_TOKEN": SECRET}))


def test_variables_that_kubernetes_makes_of_services_are_no_mistake() -> None:
    links = {"EX_SERVICE_HOST": "10.0.0.1", "EX_SERVICE_PORT_HTTP": "80"}
    links |= {"EX_PORT": "tcp://10.0.0.1:80", "EX_PORT_80_TCP_ADDR": "10.0.0.1"}
    links |= {"EX_PORT_80_TCP": "tcp://10.0.0.1:80", "EX_WEB_SERVICE_HOST": "10.0.0.1"}
    assert load(Example, "EX_", {"EX_TOKEN": "t"} | links).token == "t"
    assert "EX_PORT" in problems({"EX_TOKEN": "t", "EX_PORT": "8080"})[0]


def test_descriptions_hold_no_value_of_the_environment() -> None:
    token, wait, *_, folder, sources, _, _ = describe(Example, "EX_")
    assert (token.variable, token.default, token.secret) == ("EX_TOKEN", "required", True)
    assert (wait.expects, wait.default) == ("a number of seconds, at least 0, at most 10", "1.5")
    assert (folder.expects, folder.default) == ("a path, or nothing", "none")
    assert sources.default == "a,b"
