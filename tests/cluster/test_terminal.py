"""Guards the pseudo-terminal in which e2e tests type."""

from __future__ import annotations

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.terminal import terminal


def test_a_program_sees_a_terminal_and_what_is_typed() -> None:
    with terminal(["sh", "-c", "echo ready >/dev/tty; read word; echo got $word; exit 3"]) as it:
        it.expect("ready")
        it.type("tea")
        it.expect("got tea")
        assert it.wait() == 3


def test_a_text_that_never_comes_is_an_error_with_what_was_shown() -> None:
    with terminal(["echo", "other"]) as it, pytest.raises(ClusterError, match="other"):
        it.expect("wanted")


def test_the_program_ends_with_the_block() -> None:
    with terminal(["sleep", "600"]) as it:
        assert it.program.poll() is None
    assert it.program.poll() == -9


def test_a_program_that_runs_on_is_an_error() -> None:
    with terminal(["sleep", "600"]) as it, pytest.raises(ClusterError, match="runs on"):
        it.wait(timeout_seconds=0.1)
