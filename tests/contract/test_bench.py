"""The benchmarks still run, and their report says no more than it should."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.bench.harness import Benchmark, Figure, Goal, Run
from tests.bench.machine import describe
from tests.bench.report import Section, document, table

ROOT = Path(__file__).parents[2]


async def _never(_run: Run) -> list[Figure]:
    raise AssertionError


BENCHMARK = Benchmark("name", "Title", "About.", _never)


def test_a_benchmark_runs_and_prints_its_table() -> None:
    command = [sys.executable, "-m", "tests.bench", "--only", "leaf"]
    command += ["--rows", "1000", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| figure | bar | median | spread | held | note |" in done.stdout


def test_a_missed_bar_is_marked_and_counted() -> None:
    figures = [
        Figure("held", (0.6, 0.4, 0.5), Goal(0.5)),
        Figure("missed", (3.0, 4.0, 2.0), Goal(2.5, at_most=True)),
        Figure("told", (7.0,)),
    ]
    page = document([], [Section(BENCHMARK, figures, 1.0)], rounds=3, rows=10)
    assert "**1 of 2 bars held.**" in page
    assert "| held | ≥ 0.5 | 0.5 | 0.4 to 0.6 | yes |  |" in page
    assert "| missed | ≤ 2.5 | 3 | 2 to 4 | **no** |  |" in page
    assert "| told |  | 7 | 7 to 7 |  |  |" in page


def test_the_report_names_no_host_and_no_path() -> None:
    page = document(describe(), [Section(BENCHMARK, [], 1.0)], rounds=1, rows=1)
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", page)
    assert str(ROOT) not in page
    assert str(Path.home()) not in page
    assert table(Section(BENCHMARK, [], 1.0)) in page
