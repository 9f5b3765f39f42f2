"""Runs the benchmarks: `python -m tests.bench [--only NAME] [--rows N] [--rounds N]`.

Owns the list of benchmarks and the command line. A whole run writes docs/benchmarks.md, a part
of it is only printed. Ends with 0 whatever the figures are; with 1 when a benchmark broke.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench import (
    bench_activity,
    bench_alerts,
    bench_classify,
    bench_export,
    bench_gateway,
    bench_ingest,
    bench_leaf,
    bench_pages,
    bench_purge,
    bench_request,
    bench_spool,
    bench_sqlite,
)
from tests.bench.harness import DEFAULT_ROUNDS, DEFAULT_ROWS, Benchmark, Run
from tests.bench.machine import describe
from tests.bench.report import Section, document, table

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BENCHMARKS: tuple[Benchmark, ...] = (
    bench_leaf.LEAF,
    bench_leaf.VERIFY,
    bench_classify.CLASSIFY,
    bench_spool.SPOOL,
    bench_sqlite.SQLITE,
    bench_ingest.INGEST,
    bench_pages.PAGES,
    bench_request.REQUEST,
    bench_activity.ACTIVITY,
    bench_export.EXPORT,
    bench_purge.PURGE,
    bench_alerts.ALERTS,
    bench_gateway.GATEWAY,
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument(
        "--only", action="append", choices=names, help="run this benchmark (repeatable)"
    )
    parser.add_argument("--rows", type=_positive, default=DEFAULT_ROWS, help="events of the log")
    parser.add_argument("--rounds", type=_positive, default=DEFAULT_ROUNDS)
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


async def _run(arguments: argparse.Namespace) -> int:
    chosen = [b for b in BENCHMARKS if not arguments.only or b.name in arguments.only]
    machine = describe()
    sections: list[Section] = []
    broken = 0
    async with AsyncExitStack() as stack:
        run = Run(arguments.rounds, arguments.rows, stack)
        for benchmark in chosen:
            run.say(f"{benchmark.name}: {benchmark.title}")
            begun = time.monotonic()
            try:
                figures = await benchmark.run(run)
            except Exception as error:
                # The other figures are still worth having; the exit code tells of this one.
                broken += 1
                run.say(f"{benchmark.name} broke: {type(error).__name__}: {error}")
                continue
            sections.append(Section(benchmark, figures, time.monotonic() - begun))
            sys.stdout.write(table(sections[-1]) + "\n")
            sys.stdout.flush()
    if not broken and not arguments.only:
        PAGE.write_text(document(machine, sections, arguments.rounds, arguments.rows))
        run.say(f"written to {PAGE.relative_to(PAGE.parents[1])}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(_arguments())))
