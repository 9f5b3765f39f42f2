"""Checks of Radar's side: its pods, its Deployment, its rights, and what the gateway counts.

Owns the verdicts. Called by `examine.py` with what kubectl returned. Pure: asks nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .findings import Finding, fail, named, ok, unknown, warn
from .objects import (
    SIDECAR,
    Object,
    at,
    by_name,
    listed,
    living,
    name_of,
    sidecar_of,
    uses_gateway,
    without_gateway,
)

VALUES_HINT = "upgrade Radar with the values of `radar-audit-collector radar-values --merge`"
_ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_VOLUMES = (
    "radar-audit-sa",
    "radar-audit-keys",
    "radar-audit-spool",
    "radar-audit-token",
    "radar-audit-upstream",
    "radar-audit-hub",
)
_MANY_RESTARTS = 3
_MANY_EVENTS = 1000
_SAMPLE = re.compile(r"^radar_audit_collector_(\w+?)(?:\{(.*)\})? (\S+)\s*$")


def gateway_present(pods: list[Any], where: str, audit_sources: Mapping[str, bool]) -> Finding:
    """Check that every pod of Radar's has the gateway, and that Radar looks for it.

    `audit_sources` are the collectors of the API server's audit, by name whether they are ready:
    with one, a pod without the gateway is recorded all the same.
    """
    check = "gateway-present"
    alive = list(living(pods))
    if not alive:
        return fail(
            check,
            f"no pod of Radar's is found ({where}); say --radar-namespace and --radar-selector",
        )
    without = without_gateway(pods)
    ready = [name for name, is_ready in audit_sources.items() if is_ready]
    if without and ready:
        return warn(
            check,
            f"no gateway in {named(without)}: its terminals are recorded from the API server's "
            f"audit alone, by {named(ready)}; if it is to have the gateway, too, {VALUES_HINT}",
        )
    if without and audit_sources:
        return fail(
            check,
            f"no gateway in {named(without)}, and {named(audit_sources)}, which would read the API "
            "server's audit, is not ready; see its log",
        )
    if without:
        return fail(
            check, f"no gateway in {named(without)}: terminals go unrecorded there; {VALUES_HINT}"
        )
    aside = [name_of(pod) for pod in alive if not uses_gateway(at(pod, "spec"))]
    if aside:
        return fail(
            check,
            f"Radar passes the gateway by in {named(aside)}: KUBERNETES_SERVICE_HOST is not "
            f"127.0.0.1 there; {VALUES_HINT}",
        )
    return ok(check, f"every pod of Radar's has the gateway ({len(alive)})")


def gateway_ready(pods: list[Any]) -> Finding:
    """Check that each gateway has started and runs without being killed."""
    check = "gateway-ready"
    states = {
        name_of(pod): by_name(listed(pod, "status", "initContainerStatuses"), SIDECAR)
        for pod in living(pods)
        if sidecar_of(at(pod, "spec")) is not None
    }
    if not states:
        return unknown(check, "there is no gateway to look at")
    waiting = {
        name: at(state, "state", "waiting", "reason") or "it has not started"
        for name, state in states.items()
        if not (at(state, "started") and at(state, "state", "running") is not None)
    }
    if waiting:
        name, reason = min(waiting.items())
        return fail(
            check,
            f"the gateway does not run in {named(waiting)} ({reason}); see `kubectl logs {name} "
            f"-c {SIDECAR}`",
        )
    often = [n for n, state in states.items() if (at(state, "restartCount") or 0) >= _MANY_RESTARTS]
    if often:
        return warn(
            check,
            f"the gateway was restarted often in {named(often)}; see `kubectl logs -p -c "
            f"{SIDECAR}` for why it ended",
        )
    return ok(check, f"the gateway runs in every pod that has it ({len(states)})")


def values_present(deployments: list[Any], where: str) -> Finding:
    """Check that Radar's Deployments still have all that our values bring."""
    check = "radar-values"
    if not deployments:
        return unknown(check, f"no Deployment of Radar's is found ({where})")
    for deployment in deployments:
        spec = at(deployment, "spec", "template", "spec")
        lacking = []
        if sidecar_of(spec) is None:
            lacking.append(f"the init container {SIDECAR}")
        if not uses_gateway(spec):
            lacking.append("env KUBERNETES_SERVICE_HOST=127.0.0.1")
        mounts = [m for c in listed(spec, "containers") for m in listed(c, "volumeMounts")]
        if not any(
            m.get("mountPath") == _ACCOUNT_PATH and m.get("name") == _VOLUMES[0] for m in mounts
        ):
            lacking.append(f"the mount at {_ACCOUNT_PATH}")
        volumes = listed(spec, "volumes")
        lacking += [f"the volume {name}" for name in _VOLUMES if by_name(volumes, name) is None]
        if lacking:
            return fail(
                check, f"Radar's Deployment {name_of(deployment)} lacks {named(lacking)}; "
                f"{VALUES_HINT}",
            )  # fmt: skip
    return ok(check, "Radar's Deployment has the values that bring the gateway")


def pod_exec(roles: list[Any]) -> Finding:
    """Check that Radar's role lets it open terminals."""
    check = "pod-exec"
    if not roles:
        return unknown(check, "no ClusterRole of Radar's is found by its label")
    for rule in (rule for role in roles for rule in listed(role, "rules")):
        resources, verbs = set(at(rule, "resources") or ()), set(at(rule, "verbs") or ())
        if resources & {"pods/exec", "pods/*", "*"} and verbs & {"create", "get", "*"}:
            return ok(check, "Radar's role allows pods/exec")
    return warn(
        check,
        "Radar's own role does not allow pods/exec, so only people whose own rights do can open "
        "terminals; set rbac.podExec in Radar's values if it should",
    )


def pod_security(namespace: Object, deployments: list[Any], pods: list[Any]) -> Finding:
    """Check the gateway against the Pod Security level that Radar's namespace enforces.

    It is looked for in pods, too: one that the API server put in is there alone.
    """
    check = "pod-security"
    level = at(namespace, "metadata", "labels", "pod-security.kubernetes.io/enforce")
    where = name_of(namespace)
    if level != "restricted":
        return ok(check, f"the namespace {where} enforces {level or 'no level'}")
    specs = [(name_of(d), at(d, "spec", "template", "spec")) for d in deployments]
    specs += [(name_of(pod), at(pod, "spec")) for pod in living(pods)]
    having = [(name, spec) for name, spec in specs if sidecar_of(spec) is not None]
    if not having:
        return unknown(check, "there is no gateway to look at")
    for name, spec in having:
        wrong = _not_restricted(spec)
        if wrong:
            return fail(
                check,
                f"{where} enforces the restricted level, which the gateway of {name} breaks by "
                f"{named(wrong)}; {VALUES_HINT}",
            )
    return ok(check, f"the gateway fits the restricted level that {where} enforces")


def _not_restricted(spec: Object) -> list[str]:
    """Return by what the gateway of a pod's spec breaks the restricted level."""
    own = at(sidecar_of(spec), "securityContext") or {}
    of_pod = at(spec, "securityContext") or {}
    seccomp = at(own, "seccompProfile", "type") or at(of_pod, "seccompProfile", "type")
    judged = (
        ("runAsNonRoot", own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is True),
        ("allowPrivilegeEscalation", own.get("allowPrivilegeEscalation") is False),
        ("capabilities", "ALL" in (at(own, "capabilities", "drop") or ())),
        ("seccompProfile", seccomp in ("RuntimeDefault", "Localhost")),
    )
    return [what for what, is_right in judged if not is_right]


def samples(text: str) -> dict[str, float]:
    """Return the gateway's figures, summed over their labels; those of one label value apart.

    Such as `connections_total` and `heartbeats_total{result="ok"}`.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        found[match[1]] = found.get(match[1], 0.0) + value
        if match[2]:
            found[f"{match[1]}{{{match[2]}}}"] = value
    return found


def calls_pass(figures: Mapping[str, Mapping[str, float]]) -> Finding:
    """Check by the figures of each pod's gateway that Radar's calls go through it."""
    check = "calls-pass"
    if not figures:
        return unknown(check, "there is no gateway whose figures could be read")
    cut = _pods(figures, lambda of: of.get("upstream_reachable") == 0)
    if cut:
        return fail(
            check,
            f"the gateway in {named(cut)} does not reach the API server; see its log, and "
            "RADAR_AUDIT_COLLECTOR_GATEWAY_UPSTREAM",
        )
    unused = _pods(figures, lambda of: not of.get("connections_total"))
    if unused:
        return fail(
            check,
            f"Radar has opened no connection through the gateway in {named(unused)}, so nothing "
            "can be recorded there; it must use its pod's account, and no KUBECONFIG",
        )
    total = sum(of["connections_total"] for of in figures.values())
    return ok(check, f"Radar's calls go through the gateway ({total:.0f} connections)")


def delivered(figures: Mapping[str, Mapping[str, float]]) -> Finding:
    """Check by the figures of each pod's gateway that what it records reaches the hub."""
    check = "hub-from-gateway"
    if not figures:
        return unknown(check, "there is no gateway whose figures could be read")
    refused = _pods(figures, lambda of: of.get("token_refused") == 1)
    if refused:
        return fail(
            check,
            f"the hub refuses the token of the gateway in {named(refused)}; its ServiceAccount "
            "must be one of RADAR_AUDIT_HUB_KUBERNETES_COLLECTORS, or its Secret hold a good token",
        )
    silent = _pods(figures, lambda of: not of.get('heartbeats_total{result="ok"}'))
    if silent:
        return fail(
            check,
            f"the gateway in {named(silent)} has never reached the hub; check "
            "RADAR_AUDIT_COLLECTOR_HUB_URL, and the network policies between the two",
        )
    lost = _pods(figures, lambda of: of.get("events_lost_total", 0) > 0)
    if lost:
        return warn(check, f"events were lost in {named(lost)}; the log tells of each gap")
    waiting = _pods(figures, lambda of: of.get("spool_events", 0) > _MANY_EVENTS)
    if waiting:
        return warn(check, f"many events wait for the hub in {named(waiting)}; see its log")
    return ok(check, "the hub takes what the gateway sends")


def _pods(figures: Mapping[str, Mapping[str, float]], is_so: Any) -> Iterable[str]:
    return [name for name, of in figures.items() if is_so(of)]
