"""Terminals that tests hold open through the gateway, as Radar does.

Owns the client's processes; each ends with its block. Called by the tests of faults and outages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Iterator
from typing import IO

from tests.e2e.radar_pod import GROUPS, RadarPod


@contextlib.contextmanager
def following(command: list[str]) -> Iterator[IO[str]]:
    """Run what has no end of its own for the length of the block; give what it says."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            yield program.stdout
        finally:
            program.kill()


@contextlib.contextmanager
def held_terminal(
    pod: RadarPod, user: str, how: str = "websocket"
) -> Iterator[subprocess.Popen[str]]:
    """Open a terminal that stays; the process ends when the terminal does."""
    command = pod.client_command("hold", user, GROUPS, "app", how)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            assert json.loads(program.stdout.readline()) == {"status": 101}
            yield program
        finally:
            program.kill()


class Conversation:
    """A terminal in which the test has something typed, and sees the answer."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        """Take a client that has opened its terminal; see `conversation`."""
        assert program.stdin is not None
        assert program.stdout is not None
        self._input, self._output = program.stdin, program.stdout
        self._token_hash = json.loads(self._output.readline())["token"]

    def began_with(self, token: str) -> bool:
        """Tell whether that was the token that it was opened with."""
        return bool(self._token_hash == hashlib.sha256(token.encode()).hexdigest())

    def type(self) -> None:
        """Have something typed, and wait for what the shell makes of it."""
        self._input.write("\n")
        self._input.flush()
        assert "answered" in json.loads(self._output.readline())

    def leave(self) -> float:
        """Leave the terminal; return how long it was open by the client's clock, in seconds."""
        self._input.close()
        return float(json.loads(self._output.readline())["seconds"])


@contextlib.contextmanager
def conversation(pod: RadarPod, user: str) -> Iterator[Conversation]:
    """Open a terminal to type in for the length of the block."""
    command = pod.client_command("converse", user, GROUPS, "app")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            yield Conversation(program)
        finally:
            program.kill()
