"""Guards that no audit record, whatever stands in it, adds series to the collector's metrics."""

from __future__ import annotations

import random
from pathlib import Path

from radar_audit_collector.capture.record import AuditRecord, Skipped, parse_line
from radar_audit_collector.classify import ClassifyRules
from radar_audit_collector.intake import Intake
from radar_audit_collector.metrics import Metrics
from radar_audit_collector.spool import Spool

from tests.support.audit_lines import audit_line

_NOW_MS = 1_795_489_870_000
_EACH = 150


def strange_records(seed: int) -> list[AuditRecord | Skipped]:
    """Return records with names of their own in every field, of all kinds that are told apart."""
    luck = random.Random(seed)
    made = []
    for number in range(_EACH):
        word = f"n{seed}-{number}"
        line = audit_line(
            f"id-{word}",
            luck.choice(["ResponseStarted", "ResponseComplete", "Panic", word]),
            luck.choice([101, 200, 403, 500 + number, None]),
            received=number,
            verb=luck.choice(["get", "create", word]),
            namespace=luck.choice(["demo", word]),
            pod=word,
            subresource=luck.choice(["exec", "exec", "attach", "portforward", word]),
            principal=luck.choice(["system:serviceaccount:radar:radar", word]),
            person=luck.choice([word, f"radar:ai:{word}", None]),
            groups=("cloud:owner", f"cloud:org:{luck.choice(['org_x', word])}"),
            user_agent=word,
        )
        made.append(parse_line(luck.choice([line, line, line, word.encode()])))
    return made


def series(metrics: Metrics) -> set[str]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}"
        for metric in metrics.registry.collect()
        for sample in metric.samples
    }


async def test_no_audit_record_can_add_series_at_will(tmp_path: Path) -> None:
    metrics, spool = Metrics(), Spool(tmp_path / "spool", 64 << 20)
    await spool.open()
    try:
        rules = ClassifyRules("radar/radar", "org_x")
        intake = Intake(spool, metrics, rules, now_ms=lambda: _NOW_MS)
        for seed in range(6):
            await intake.accept(strange_records(seed), "webhook")
        before = series(metrics)
        assert len([name for name in before if "records_ignored_total" in name]) > 3
        for seed in range(6, 12):
            await intake.accept(strange_records(seed), "webhook")
        assert series(metrics) == before
    finally:
        await spool.close()
