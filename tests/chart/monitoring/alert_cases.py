"""The stories of the alerts: when each has to fire, and when it has to be silent.

Owns the table. Called by `test_alerts`. All is well at first in each, and again at the end.
"""

from __future__ import annotations

from tests.chart.monitoring.alert_case import Case

_C, _H, _O = "radar_audit_collector_", "radar_audit_hub_", "radar_audit_operator_"
_AT = 'namespace="radar-audit"'
_POD = 'namespace="radar", job="radar/radar-audit", instance="10.0.0.7:9281"'
_COLLECTOR = {"namespace": "radar", "job": "radar/radar-audit", "instance": "10.0.0.7:9281"}
_HUB = {"namespace": "radar-audit"}
_WORKS, _STANDS_BY = f'{_AT}, job="operator", instance="a"', f'{_AT}, job="operator", instance="b"'
# Two replicas of the operator; what the one that stands by still shows is old.
_REPLICAS = {f"{_O}active{{{_WORKS}}}": "1x600", f"{_O}active{{{_STANDS_BY}}}": "0x600"}


def _at(*minutes: int) -> frozenset[int]:
    return frozenset(minutes)


def _is_up(component: str, values: str, namespace: str = "radar-audit") -> dict[str, str]:
    labels = f'namespace="{namespace}", component="{component}", version="1"'
    return {f"radar_audit_build_info{{{labels}}}": values}


CASES = (
    Case(
        name="events_lost",
        alert="EventsLost",
        series={f'{_C}events_lost_total{{{_POD}, reason="spool_full"}}': "0x30 12x200"},
        silent=_at(5, 30, 100, 200),
        fires=_at(32, 60, 85),
        labels={"namespace": "radar", "reason": "spool_full"},
        description="Collectors in namespace radar lost events within the last hour, for the"
        " reason spool_full. The audit log has a gap.",
        blunt=("> 0", "> 1000"),
        sharp=("> 0", ">= 0"),
    ),
    Case(
        name="events_lost_before_the_first_scrape",
        alert="EventsLost",
        series={f'{_C}events_lost_total{{{_POD}, reason="spool_corrupt"}}': "_x70 3x200"},
        silent=_at(5, 69, 140, 200),
        fires=_at(72, 100, 128),
        labels={"namespace": "radar", "reason": "spool_corrupt"},
        description="Collectors in namespace radar lost events within the last hour, for the"
        " reason spool_corrupt. The audit log has a gap.",
        blunt=("unless", "and"),
        sharp=("offset 1h", "offset 1d"),
    ),
    Case(
        name="gateway_missing",
        alert="GatewayMissing",
        series={
            f"{_O}radar_pods_without_gateway{{{_WORKS}}}": "0x20 1x30 0x100",
            f"{_O}radar_pods_without_gateway{{{_STANDS_BY}}}": "2x600",
            **_REPLICAS,
        },
        silent=_at(5, 20, 24, 60, 100),
        fires=_at(27, 45),
        labels=_HUB,
        description="1 of Radar's pods run without the gateway: terminals opened through them are"
        " not recorded.",
        blunt=("> 0", "> 1000"),
        sharp=("active == 1", "active >= 0"),
    ),
    Case(
        name="hub_down",
        alert="HubDown",
        series=_is_up("hub", "1x10 _x40 1x60") | _is_up("operator", "1x200"),
        silent=_at(5, 10, 15, 60, 100),
        fires=_at(22, 45),
        labels=_HUB,
        description="No hub of namespace radar-audit answers Prometheus. Collectors keep events"
        " until their spools are full.",
        blunt=('component="hub"', 'component=~"hub|operator"'),
        sharp=("unless", "and"),
    ),
    Case(
        name="hub_never_seen",
        alert="HubDown",
        series=_is_up("operator", "1x200") | _is_up("hub", "_x30 1x60"),
        silent=_at(3, 40, 60),
        fires=_at(8, 29),
        labels={},
        description="No hub answers Prometheus. Collectors keep events until their spools are"
        " full.",
        blunt=("absent(", "sum("),
        sharp=("absent(last_over_time(", "sum(last_over_time("),
    ),
    Case(
        name="collector_unheard",
        alert="CollectorSilent",
        series={
            f'{_C}heartbeats_total{{{_POD}, result="ok"}}': "0+2x30 60x40 62+2x60",
            f'{_C}heartbeats_total{{{_POD}, result="connect"}}': "0x30 0+2x40 80x60",
            **_is_up("collector", "1x200", "radar"),
        },
        silent=_at(5, 30, 50, 80, 120),
        fires=_at(60, 69),
        labels=_COLLECTOR,
        description="The collector 10.0.0.7:9281 had no heartbeat answered by the hub for 15"
        " minutes.",
        blunt=('result="ok"', 'result!=""'),
        sharp=(")) == 0", ")) >= 0"),
    ),
    Case(
        name="collector_gone",
        alert="CollectorSilent",
        series=_is_up("collector", "1x10 _x60 1x60", "radar") | _is_up("hub", "1x200", "radar"),
        silent=_at(5, 10, 20, 80),
        fires=_at(28, 60),
        labels={"namespace": "radar"},
        description="No collector of namespace radar answers Prometheus.",
        blunt=('component="collector"', 'component=~"collector|hub"'),
        sharp=("unless", "and"),
    ),
    Case(
        name="spool_old",
        alert="SpoolOld",
        # Empty, then an event of minute 10 that waits until minute 60, then empty again.
        series={f"{_C}spool_oldest_timestamp_seconds{{{_POD}}}": "0x10 600x50 0x60"},
        silent=_at(5, 20, 24, 70, 100),
        fires=_at(32),
        labels=_COLLECTOR,
        description="The oldest event in the spool of 10.0.0.7:9281 has waited for 22m 0s. Nothing"
        " is lost until the spool is full.",
        blunt=("> 900", "> 90000"),
        sharp=("> 900", "> 0"),
    ),
    Case(
        name="relay_restarted",
        alert="GatewayFaulty",
        series={f"{_C}relay_restarts_total{{{_POD}}}": "0x20 1x200"},
        silent=_at(5, 20, 100, 150),
        fires=_at(22, 60),
        labels=_COLLECTOR,
        description="The relay of 10.0.0.7:9281 ended unasked or met an error that it does not know"
        " within the last hour. Radar's open connections may have been cut.",
        blunt=("> 0", "> 1000"),
        sharp=("> 0", ">= 0"),
    ),
    Case(
        name="relay_met_an_unknown_error",
        alert="GatewayFaulty",
        series={
            f'{_C}connection_faults_total{{{_POD}, cause="unexpected_error"}}': "0x20 2x200",
            f'{_C}connection_faults_total{{{_POD}, cause="handshake_failed"}}': "0+9x220",
        },
        silent=_at(5, 20, 100, 150),
        fires=_at(22, 60),
        labels=_COLLECTOR,
        description="The relay of 10.0.0.7:9281 ended unasked or met an error that it does not know"
        " within the last hour. Radar's open connections may have been cut.",
        blunt=('cause="unexpected_error"', 'cause="unknown"'),
        sharp=('cause="unexpected_error"', 'cause!=""'),
    ),
    Case(
        name="gateway_certificate_not_renewed",
        alert="CertificateExpiring",
        # It ends four days after the beginning; at minute 120 it is renewed for thirty.
        series={
            f"{_C}certificate_expiry_timestamp_seconds{{{_POD}}}": "864000x20 345600x99 2592000x90"
        },
        silent=_at(5, 20, 70, 125, 200),
        fires=_at(90),
        labels=_COLLECTOR,
        description="A certificate of 10.0.0.7:9281 ends in 3d 22h 30m 0s. Then the gateway cuts"
        " Radar off, or the webhook is refused.",
        blunt=("< 432000", "< 4320"),
        sharp=("< 432000", "< 43200000"),
    ),
    Case(
        name="webhook_certificate_not_renewed",
        alert="CertificateExpiring",
        series={
            f"{_C}webhook_certificate_expiry_timestamp_seconds{{{_POD}}}": "864000x20 518400x99"
            " 7776000x90"
        },
        silent=_at(5, 20, 70, 125, 200),
        fires=_at(90),
        labels=_COLLECTOR,
        description="A certificate of 10.0.0.7:9281 ends in 5d 22h 30m 0s. Then the gateway cuts"
        " Radar off, or the webhook is refused.",
        blunt=("< 604800", "< 6048"),
        sharp=("< 604800", "< 60480000"),
    ),
    Case(
        name="ingest_lag",
        alert="IngestLag",
        # Of ten events a minute all take less than a second, then five minutes, then less again.
        series={
            f'{_H}ingest_lag_seconds_bucket{{{_AT}, le="1"}}': "0+10x30 300x60 310+10x120",
            f'{_H}ingest_lag_seconds_bucket{{{_AT}, le="60"}}': "0+10x30 300x60 310+10x120",
            f'{_H}ingest_lag_seconds_bucket{{{_AT}, le="300"}}': "0+10x30 300+10x60 910+10x120",
            f'{_H}ingest_lag_seconds_bucket{{{_AT}, le="+Inf"}}': "0+10x30 300+10x60 910+10x120",
        },
        silent=_at(20, 30, 40, 120, 200),
        fires=_at(70, 85),
        labels=_HUB,
        description="One event in twenty takes longer than 4m 48s to reach the log.",
        blunt=("> 60", "> 6000"),
        sharp=("> 60", "> 0"),
    ),
    Case(
        name="prune_stale",
        alert="PruneStale",
        # Two replicas take turns; from minute 60 to 300 none ends a round.
        series={
            f'{_H}prune_last_success_timestamp_seconds{{{_AT}, instance="a"}}': "0+60x60"
            " 3600x239 18000+60x120",
            f'{_H}prune_last_success_timestamp_seconds{{{_AT}, instance="b"}}': "0x500",
        },
        silent=_at(10, 60, 180, 200, 310, 400),
        fires=_at(215, 290),
        labels=_HUB,
        description="No replica of the hub in namespace radar-audit has ended a round of retention"
        " for two hours. Expired events are hidden, but not deleted.",
        blunt=("> 7200", "> 720000"),
        sharp=("max by", "min by"),
    ),
    Case(
        name="delivery_failing",
        alert="DeliveryFailing",
        series={
            f'{_H}delivery_attempts_total{{{_AT}, channel="slack", result="delivered"}}': (
                "0+20x60 1200x120 1220+20x120"
            ),
            f'{_H}delivery_attempts_total{{{_AT}, channel="slack", result="failed"}}': (
                "0+1x60 60+20x120 2460x120"
            ),
            f'{_H}delivery_attempts_total{{{_AT}, channel="email", result="delivered"}}': "0+5x300",
        },
        silent=_at(30, 60, 75, 240, 290),
        fires=_at(120, 170),
        labels={"namespace": "radar-audit", "channel": "slack"},
        description="100% of the attempts to send notices by slack fail.",
        blunt=("> 0.5", "> 1.5"),
        sharp=("> 0.5", "> 0.04"),
    ),
    Case(
        name="outbox_stuck",
        alert="OutboxStuck",
        series={f'{_H}outbox_oldest_seconds{{{_AT}, instance="a"}}': "30x20 4000x30 30x60"},
        silent=_at(10, 20, 28, 60),
        fires=_at(32, 45),
        labels=_HUB,
        description="Mail or a call to another service has been due for 1h 6m 40s.",
        blunt=("> 3600", "> 36000"),
        sharp=("> 3600", "> 10"),
    ),
    Case(
        name="operator_down",
        alert="OperatorDown",
        series=_is_up("operator", "1x10 _x40 1x60") | _is_up("hub", "1x200"),
        silent=_at(5, 10, 20, 60, 100),
        fires=_at(27, 45),
        labels=_HUB,
        description="No operator of namespace radar-audit answers Prometheus. Policies are not"
        " applied, and pods of Radar without the gateway are not noticed.",
        blunt=('component="operator"', 'component=~"hub|operator"'),
        sharp=("unless", "and"),
    ),
    Case(
        name="hub_unreachable",
        alert="HubUnreachable",
        series={
            f"{_O}hubs_down{{{_WORKS}}}": "0x20 1x30 0x60",
            f"{_O}hubs_down{{{_STANDS_BY}}}": "1x600",
            **_REPLICAS,
        },
        silent=_at(5, 20, 28, 60, 100),
        fires=_at(32, 45),
        labels=_HUB,
        description="1 AuditHubs name a hub that does not answer. What it was told last stays in"
        " force.",
        blunt=("> 0", "> 1000"),
        sharp=("active == 1", "active >= 0"),
    ),
    Case(
        name="policy_not_applied",
        alert="PolicyNotApplied",
        series={
            f'{_O}policies{{{_WORKS}, status="True", reason="Synced"}}': "3x600",
            f'{_O}policies{{{_WORKS}, status="Unknown", reason="Suspended"}}': "1x600",
            f'{_O}policies{{{_WORKS}, status="False", reason="NotGranted"}}': "_x20 2x40",
            f'{_O}policies{{{_STANDS_BY}, status="False", reason="Conflicted"}}': "9x600",
            **_REPLICAS,
        },
        silent=_at(10, 20, 34, 80, 120),
        fires=_at(40, 55),
        labels={"namespace": "radar-audit", "reason": "NotGranted"},
        description="2 AuditPolicies are not in force, for the reason NotGranted.",
        blunt=('status!="True"', 'status="False", reason="x"'),
        sharp=("Suspended|", ""),
    ),
    Case(
        name="operator_queue_old",
        alert="OperatorQueueStuck",
        series={
            f"{_O}queue_oldest_age_seconds{{{_WORKS}}}": "3x20 360x30 3x60",
            f"{_O}queue_oldest_age_seconds{{{_STANDS_BY}}}": "9999x600",
            f"{_O}queue_dropped{{{_WORKS}}}": "4x600",
            **_REPLICAS,
        },
        silent=_at(5, 20, 24, 60, 100),
        fires=_at(27, 45),
        labels=_HUB,
        description="An object waits too long for the operator in namespace radar-audit, or the"
        " operator's queue was full.",
        blunt=("> 300", "> 30000"),
        sharp=("> 300", "> 1"),
    ),
    Case(
        name="operator_queue_full",
        alert="OperatorQueueStuck",
        series={f"{_O}queue_dropped{{{_WORKS}}}": "4x20 9x200", **_REPLICAS},
        silent=_at(5, 20, 70, 100),
        fires=_at(28, 48),
        labels=_HUB,
        description="An object waits too long for the operator in namespace radar-audit, or the"
        " operator's queue was full.",
        blunt=("[30m])) > 0", "[30m])) > 1000"),
        sharp=("[30m])) > 0", "[30m])) >= 0"),
    ),
    Case(
        name="rules_behind",
        alert="RulesBehind",
        series={
            f'{_H}notify_behind_events{{{_AT}, instance="a"}}': "0x8 40x10 0x10 3x40 0x60",
            f'{_H}notify_behind_events{{{_AT}, instance="b"}}': "0x600",
        },
        silent=_at(5, 15, 19, 25, 44, 75, 120),
        fires=_at(47, 70),
        labels=_HUB,
        description="3 events wait to be judged by alert rules, and for 15 minutes some always"
        " have. Nobody is told of them.",
        blunt=("> 0", "> 1000"),
        sharp=("> 0", ">= 0"),
    ),
)
