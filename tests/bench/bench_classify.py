"""The collector's classifier against merely decoding the same lines.

Owns the benchmark `classify`; pure CPU. Called by `tests.bench`. The lines are the recorded
audit log of the demo, and a mix with the share of other requests that a cluster has.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
from radar_audit_collector.capture.record import parse_line
from radar_audit_collector.classify import ClassifyRules, classify

from tests.bench.harness import Benchmark, Figure, Goal, Run, cpu_of, interleave, ratios

_LOG = Path(__file__).parents[2] / "scripts" / "demo" / "audit-log.jsonl"
_RULES = ClassifyRules(radar_service_account="radar/radar", org_id="org_x")
_OTHERS_SHARE = 0.95  # of requests are no exec; a busy cluster has more of them


def _decode(lines: list[bytes]) -> None:
    decode = msgspec.json.Decoder().decode
    for line in lines:
        decode(line)


def _classify(lines: list[bytes]) -> None:
    for line in lines:
        classify(parse_line(line), _RULES)


def _mixed(lines: list[bytes]) -> list[bytes]:
    """Return lines of which _OTHERS_SHARE are about something else than exec."""
    execs = [line for line in lines if b"/exec?" in line]
    others = [line for line in lines if b"/exec?" not in line and b"/attach?" not in line]
    if not others:
        raise RuntimeError("the recorded log holds exec lines only")
    wanted = round(len(execs) * _OTHERS_SHARE / (1 - _OTHERS_SHARE))
    many = [others[index % len(others)] for index in range(wanted)]
    step = len(many) // len(execs)
    for index, line in enumerate(execs):
        many.insert(index * (step + 1), line)
    return many


async def _against_decoding(run: Run, lines: list[bytes], label: str) -> Figure:
    many = lines * max(1, run.count(30_000) // len(lines))
    values = await interleave(
        run.rounds,
        {
            "decode": cpu_of(lambda: _decode(many)),
            "classify": cpu_of(lambda: _classify(many)),
        },
    )
    kinds = Counter(classify(parse_line(line), _RULES).kind for line in lines)
    note = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return Figure(label, ratios(values["decode"], values["classify"]), Goal(0.5), note)


async def _run(run: Run) -> list[Figure]:
    lines = _LOG.read_bytes().splitlines()
    return [
        await _against_decoding(run, lines, "recorded log: lines a second against decoding"),
        await _against_decoding(
            run,
            _mixed(lines),
            f"{_OTHERS_SHARE:.0%} other requests: lines a second against decoding",
        ),
    ]


CLASSIFY = Benchmark(
    "classify",
    "Classifier",
    "parse_line and classify against msgspec.json decoding the same lines to plain objects, "
    "in CPU time.",
    _run,
)
