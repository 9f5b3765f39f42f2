"""The report of a run: one table a benchmark, the machine above, misses named.

Owns the text of `docs/benchmarks.md`. Called by `tests.bench`. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.harness import Benchmark, Figure

_HEAD = """# Benchmarks

Written by `make bench`; do not edit. Each figure compares two things that were measured in turn
(A B A B …) in one run on one machine: the ratio of each round, their median, and their spread.
Absolute rates stand in the notes only to give an idea. Nothing fails on a missed bar: it is
marked, and why stands in the note or in the notes of the release.

CPU-bound work is measured in CPU time of the process, all else in time on the clock.
"""
_LEFT_OUT = """## Left out

- A comparison with VictoriaLogs on the same events, and with 10 million rows: both need more
  time and disk than a run of a few minutes has.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A benchmark that ran: its figures and how long it took."""

    benchmark: Benchmark
    figures: Sequence[Figure]
    seconds: float


def table(section: Section) -> str:
    """Return one benchmark as Markdown."""
    lines = [
        f"## {section.benchmark.title} (`{section.benchmark.name}`)",
        "",
        section.benchmark.about,
        "",
        "| figure | bar | median | spread | held | note |",
        "|---|---|---|---|---|---|",
        *(_row(figure) for figure in section.figures),
        "",
    ]
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    verdict = {True: "yes", False: "**no**", None: ""}[figure.holds]
    bar = "" if figure.goal is None else f"{figure.goal}{_unit(figure)}"
    spread = f"{_number(min(figure.values))} to {_number(max(figure.values))}"
    return (
        f"| {figure.label} | {bar} | {_number(figure.median)}{_unit(figure)} | {spread} "
        f"| {verdict} | {figure.note} |"
    )


def _unit(figure: Figure) -> str:
    return f" {figure.unit}" if figure.unit else ""


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def document(
    machine: Sequence[tuple[str, str]], sections: Sequence[Section], rounds: int, rows: int
) -> str:
    """Return the whole page."""
    figures = [figure for section in sections for figure in section.figures]
    with_bar = [figure for figure in figures if figure.goal is not None]
    held = sum(1 for figure in with_bar if figure.holds)
    took = sum(section.seconds for section in sections)
    facts = [*machine, ("run", f"{rounds} rounds, a log of {rows:,} events, {took:.0f} s")]
    return "\n".join(
        [
            _HEAD,
            f"**{held} of {len(with_bar)} bars held.**",
            "",
            "| machine | |",
            "|---|---|",
            *(f"| {what} | {which} |" for what, which in facts),
            "",
            *(table(section) for section in sections),
            _LEFT_OUT,
        ]
    )
