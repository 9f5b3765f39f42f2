"""A custom resource as the document that the hub keeps of it.

Owns the translation of AuditPolicy and AuditHub to the wire, and the hash that names a document's
content. Called by the reconciler. Pure: the values of Secrets are arguments, and the hash is made
of their versions alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec
from radar_audit_events.policy_wire import (
    AgeOverride,
    AlertRule,
    CaptureSettings,
    ClusterOverrides,
    Destination,
    EmailTarget,
    GroupBy,
    Grouping,
    LegalHold,
    NotificationSettings,
    OwnerDocument,
    PagerDutyTarget,
    QuietHours,
    RetentionSettings,
    Severity,
    SlackTarget,
    TeamsTarget,
    Threshold,
    Throttle,
    WebhookTarget,
    owner_id,
)

from radar_audit_operator.specs import (
    CaptureSpec,
    DestinationSpec,
    Hub,
    Meta,
    NotificationsSpec,
    Policy,
    RetentionSpec,
    RuleSpec,
    WebhookSpec,
    duration_hours,
    duration_seconds,
)

from .secrets import Found, Use, uses

Secrets = Mapping[Use, Found]


def policy_owner(policy: Policy, hub: Hub) -> str:
    """Return the owner id of a policy. Raises IdError."""
    return owner_id(hub.spec.cluster_id, policy.meta.key.namespace, policy.meta.key.name)


def hub_owner(hub: Hub) -> str:
    """Return the owner id of an AuditHub. Raises IdError."""
    return owner_id(hub.spec.cluster_id, None, hub.meta.key.name)


def policy_document(policy: Policy, secrets: Secrets, only_namespace: str | None) -> OwnerDocument:
    """Return a policy's document; a Secret with a problem is left out, which keeps the last one.

    Raises SpecError.
    """
    spec = policy.spec
    retention = None if spec.retention is None else _retention(spec.retention)
    alerts = spec.notifications
    document = OwnerDocument(
        uid=policy.meta.uid,
        generation=policy.meta.generation,
        spec_hash="",
        created_at=policy.meta.created_at,
        scope="cluster" if spec.scope == "Cluster" else "organization",
        take_over_from=spec.take_over_from,
        deletion_policy="revert" if spec.deletion_policy == "Revert" else "retain",
        retention=retention,
        notifications=None if alerts is None else _alerts(alerts, secrets, only_namespace),
    )
    versions = [
        f"{use.destination}/{use.role}/{use.ref.name}/{use.ref.key}={secrets[use].version}"
        for use in uses(spec)
    ]
    return _hashed(document, versions)


def hub_document(hub: Hub) -> OwnerDocument:
    """Return an AuditHub's document: the capture settings of its cluster."""
    spec, meta = hub.spec, hub.meta
    capture = None if spec.capture is None else capture_settings(spec.capture)
    return _hashed(_bare(meta, capture), [])


def capture_settings(spec: CaptureSpec) -> CaptureSettings:
    """Return capture settings as they travel."""
    return CaptureSettings(
        enabled=spec.enabled,
        include_namespaces=sorted(spec.namespaces.include),
        exclude_namespaces=sorted(spec.namespaces.exclude),
        attach=spec.attach,
        service_actors="ignore" if spec.service_actors == "Ignore" else "record",
        identity=_IDENTITY[spec.identity],
        failure_policy="best_effort" if spec.failure_policy == "BestEffort" else "required",
    )


_IDENTITY: Mapping[str, Literal["cloud", "impersonated", "any"]] = {
    "Cloud": "cloud",
    "Impersonated": "impersonated",
    "Any": "any",
}
_OVERRIDES: Mapping[str, ClusterOverrides] = {"None": "none", "Longer": "longer", "Any": "any"}
_GROUP_BY: Mapping[str, GroupBy] = {
    "Rule": "rule",
    "Actor": "actor",
    "Target": "target",
    "Cluster": "cluster",
    "Namespace": "namespace",
}
_SEVERITY: Mapping[str, Severity] = {"Info": "info", "Warning": "warning", "Critical": "critical"}


def _bare(meta: Meta, capture: CaptureSettings | None) -> OwnerDocument:
    return OwnerDocument(
        uid=meta.uid,
        generation=meta.generation,
        spec_hash="",
        created_at=meta.created_at,
        capture=capture,
    )


def _hashed(document: OwnerDocument, versions: list[str]) -> OwnerDocument:
    """Fill in the hash: of all but uid, generation and secrets, which `versions` stand for."""
    plain = msgspec.structs.replace(document, uid="", generation=0)
    if plain.notifications is not None:
        bare = [_without_secret(each) for each in plain.notifications.destinations]
        alerts = msgspec.structs.replace(plain.notifications, destinations=bare)
        plain = msgspec.structs.replace(plain, notifications=alerts)
    text = msgspec.json.encode([plain, sorted(versions)], order="deterministic")
    return msgspec.structs.replace(document, spec_hash=hashlib.sha256(text).hexdigest()[:32])


def _without_secret(each: Destination) -> Destination:
    hook = each.webhook
    return msgspec.structs.replace(
        each,
        slack=None if each.slack is None else SlackTarget(),
        teams=None if each.teams is None else TeamsTarget(),
        pagerduty=None if each.pagerduty is None else PagerDutyTarget(),
        webhook=None if hook is None else WebhookTarget(url=hook.url, envelope=hook.envelope),
    )


def _retention(spec: RetentionSpec) -> RetentionSettings:
    overrides = None if spec.cluster_overrides is None else _OVERRIDES[spec.cluster_overrides]
    return RetentionSettings(
        max_age_hours=None if spec.max_age is None else duration_hours(spec.max_age),
        shrink_delay_hours=duration_hours(spec.shrink_delay),
        cluster_overrides=overrides,
        overrides=[
            AgeOverride(
                name=each.name,
                actions=sorted(each.actions),
                max_age_hours=duration_hours(each.max_age),
            )
            for each in spec.overrides
        ],
        holds=[
            LegalHold(
                name=each.name,
                reason=each.reason,
                query=each.query,
                until=each.until,
                released=each.released,
            )
            for each in spec.holds
        ],
    )


def _alerts(
    spec: NotificationsSpec, secrets: Secrets, only_namespace: str | None
) -> NotificationSettings:
    values: dict[tuple[str, str], str | None] = {
        (use.destination, use.role): found.value for use, found in secrets.items()
    }
    return NotificationSettings(
        destinations=[_destination(each, values) for each in spec.destinations],
        rules=[_rule(each) for each in spec.rules],
        only_namespace=only_namespace,
    )


def _destination(
    spec: DestinationSpec, values: Mapping[tuple[str, str], str | None]
) -> Destination:
    url = values.get((spec.name, "url"))
    routing_key = values.get((spec.name, "routing_key"))
    return Destination(
        name=spec.name,
        slack=None if spec.slack is None else SlackTarget(url=url),
        webhook=None if spec.webhook is None else _webhook(spec.name, spec.webhook, values),
        email=None if spec.email is None else EmailTarget(to=list(spec.email.to)),
        teams=None if spec.teams is None else TeamsTarget(url=url),
        pagerduty=None if spec.pagerduty is None else PagerDutyTarget(routing_key=routing_key),
        min_severity=_SEVERITY[spec.min_severity],
        muted_until=spec.muted_until,
    )


def _webhook(
    name: str, spec: WebhookSpec, values: Mapping[tuple[str, str], str | None]
) -> WebhookTarget:
    return WebhookTarget(
        url=spec.url,
        signing_secret=values.get((name, "signing_secret")),
        previous_signing_secret=values.get((name, "previous_signing_secret")),
        signing_key=values.get((name, "signing_key")),
        previous_signing_key=values.get((name, "previous_signing_key")),
        envelope="radar" if spec.envelope == "Radar" else "cloudevents",
    )


def _rule(spec: RuleSpec) -> AlertRule:
    quiet, throttle, threshold, grouping = (
        spec.quiet_hours,
        spec.throttle,
        spec.threshold,
        spec.grouping,
    )
    return AlertRule(
        name=spec.name,
        destinations=list(spec.destinations),
        actions=list(spec.actions),
        kinds=list(spec.kinds),
        query=spec.query,
        severity=_SEVERITY[spec.severity],
        throttle=None
        if throttle is None
        else Throttle(max=throttle.max, per_seconds=duration_seconds(throttle.per)),
        threshold=None
        if threshold is None
        else Threshold(
            count=threshold.count,
            within_seconds=duration_seconds(threshold.within),
            by=_GROUP_BY[threshold.by],
        ),
        grouping=None
        if grouping is None
        else Grouping(by=_GROUP_BY[grouping.by], wait_seconds=duration_seconds(grouping.wait)),
        digest_seconds=None if spec.digest is None else duration_seconds(spec.digest.every),
        quiet_hours=None
        if quiet is None
        else QuietHours(
            from_time=quiet.from_time, to_time=quiet.to_time, time_zone=quiet.time_zone
        ),
        muted_until=spec.muted_until,
        suspended=spec.suspend,
    )
