"""Runs the checks of `doctor`, each by itself: one that cannot look leaves the others alone.

Owns the order and what is fetched for which check. Called by the command. Reads only; a right
that is lacking becomes the state unknown with the right's name.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from radar_audit_cli.connection import Connection
from radar_audit_cli.errors import CliError

from . import hub_api, injection, parts, radar, sources
from .findings import Finding, fail, ok, unknown
from .kubectl import Kubectl, KubectlError
from .objects import with_gateway, without_gateway

METRICS_PORT = 9281
MAX_PODS = 5  # whose figures are read
_LOOK_AGAIN_SECONDS = 0.5
_OURS = "app.kubernetes.io/part-of=radar-audit"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: Radar's namespace and label selector, and our own namespace."""

    radar_namespace: str = "radar"
    radar_selector: str = "app.kubernetes.io/name=radar"
    namespace: str = "radar-audit"

    @property
    def told(self) -> str:
        """Where Radar was looked for, for a sentence."""
        return f"namespace {self.radar_namespace}, selector {self.radar_selector}"


@dataclass
class _Fetched:
    """What kubectl has returned already, or why it did not; each is asked for once."""

    kubectl: Kubectl
    place: Place
    wait_seconds: float
    _held: dict[str, Any] = field(default_factory=dict)

    def pods(self) -> list[Any]:
        place = self.place
        return self._once(
            "pods",
            lambda: self.kubectl.items(
                "pods", namespace=place.radar_namespace, selector=place.radar_selector
            ),
        )

    def deployments(self) -> list[Any]:
        place = self.place
        return self._once(
            "deployments",
            lambda: self.kubectl.items(
                "deployments", namespace=place.radar_namespace, selector=place.radar_selector
            ),
        )

    def ours(self) -> list[Any]:
        return self._once(
            "ours",
            lambda: self.kubectl.items(
                "deployments", namespace=self.place.namespace, selector=_OURS
            ),
        )

    def audit_sources(self) -> dict[str, bool]:
        """Ask only where a gateway is missing; none where one may not look."""
        if not without_gateway(self.pods()):
            return {}
        return self._once("sources", self._find_sources)

    def _find_sources(self) -> dict[str, bool]:
        """Look everywhere, as the log's collector has a namespace of its own; else in ours."""
        items, kinds = self.kubectl.items, sources.KINDS
        with contextlib.suppress(KubectlError):
            return sources.audit_sources(items(kinds, everywhere=True, selector=_OURS))
        with contextlib.suppress(KubectlError):
            found = items(kinds, namespace=self.place.namespace, selector=_OURS)
            return sources.audit_sources(found)
        return {}

    def inject_labels(self) -> list[Any]:
        """The pod labels by which the API server puts the gateway in."""
        return self._once("labels", self._find_inject_labels)

    def _find_inject_labels(self) -> list[Any]:
        """The default one is taken for good where the policies cannot be read."""
        policies: list[Any] = []
        with contextlib.suppress(KubectlError):
            policies = self.kubectl.items(injection.POLICIES, selector=_OURS)
        return injection.labels_of(policies)

    def figures(self) -> dict[str, dict[str, float]]:
        return self._once("figures", self._read_figures)

    def _read_figures(self) -> dict[str, dict[str, float]]:
        """Read them until they are good; a gateway that has just started needs a moment."""
        last = time.monotonic() + self.wait_seconds
        while True:
            figures = self._figures_now()
            bad = "fail" in (radar.calls_pass(figures).state, radar.delivered(figures).state)
            if not bad or time.monotonic() >= last:
                return figures
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _figures_now(self) -> dict[str, dict[str, float]]:
        base = f"/api/v1/namespaces/{self.place.radar_namespace}/pods"
        return {
            name: radar.samples(self.kubectl.raw(f"{base}/{name}:{METRICS_PORT}/proxy/metrics"))
            for name in with_gateway(self.pods())[:MAX_PODS]
        }

    def _once(self, key: str, ask: Callable[[], T]) -> T:
        if key not in self._held:
            try:
                self._held[key] = ask()
            except KubectlError as error:
                self._held[key] = error
        found = self._held[key]
        if isinstance(found, KubectlError):
            raise found
        kept: T = found
        return kept


def examine(
    kubectl: Kubectl,
    place: Place,
    connection: Connection,
    cluster: str | None,
    own_version: str,
    *,
    wait_seconds: float,
) -> Iterator[Finding]:
    """Yield a finding for each check; those of the cluster first, those of the hub last.

    Figures of a gateway that are not good are read again for `wait_seconds`.
    """
    got = _Fetched(kubectl, place, wait_seconds)
    first, is_away = _cluster(kubectl)
    yield first
    if not is_away:
        for check, look in _checks(kubectl, got, place, own_version):
            yield _look(check, look)
    try:
        clusters = hub_api.clusters_of(connection)
    except CliError as error:
        yield from hub_api.not_asked(error)
    else:
        yield from hub_api.heartbeats(clusters, cluster)


def _cluster(kubectl: Kubectl) -> tuple[Finding, bool]:
    """Return what is found of the cluster, and whether it is away: then nothing else is asked."""
    try:
        return parts.cluster_version(kubectl.version()), False
    except KubectlError as error:
        if error.cause == "forbidden":
            return unknown("cluster", str(error)), False
        return fail("cluster", f"{error}; check --kube-context and --kubeconfig"), True


def _checks(
    kubectl: Kubectl, got: _Fetched, place: Place, own_version: str
) -> Iterator[tuple[str, Callable[[], Finding]]]:
    yield (
        "gateway-present",
        lambda: radar.gateway_present(got.pods(), place.told, got.audit_sources()),
    )
    yield "radar-values", lambda: _radar_values(got, place)
    yield "gateway-ready", lambda: radar.gateway_ready(got.pods())
    yield "calls-pass", lambda: radar.calls_pass(got.figures())
    yield "hub-from-gateway", lambda: radar.delivered(got.figures())
    roles = "clusterroles.rbac.authorization.k8s.io"
    yield "pod-exec", lambda: radar.pod_exec(kubectl.items(roles, selector=place.radar_selector))
    yield (
        "pod-security",
        lambda: radar.pod_security(
            kubectl.one("namespace", place.radar_namespace), got.deployments(), got.pods()
        ),
    )
    crds = "customresourcedefinitions.apiextensions.k8s.io"
    yield "crds", lambda: parts.crds_installed(kubectl.items(crds))
    yield "hub", lambda: parts.part_runs("hub", got.ours(), place.namespace)
    yield "operator", lambda: parts.part_runs("operator", got.ours(), place.namespace)
    yield "audithubs", lambda: parts.audithubs_ready(kubectl.items(parts.CRDS[0]))
    yield "versions", lambda: parts.versions_fit(own_version, got.ours(), got.pods())


def _radar_values(got: _Fetched, place: Place) -> Finding:
    """Judge the template; where it has nothing of ours by design, what stands in its place."""
    deployments = got.deployments()
    bare = injection.bare(deployments)
    if bare and injection.are_labelled(bare, got.inject_labels()):
        put_in = injection.put_in("radar-values", bare, got.pods())
        others = [each for each in deployments if each not in bare]
        if put_in.state != "ok" or not others:
            return put_in
        return radar.values_present(others, place.told)
    if bare and any(got.audit_sources().values()):
        return ok("radar-values", "Radar's Deployment has none, as the API server's audit is read")
    return radar.values_present(deployments, place.told)


def _look(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except KubectlError as error:
        if error.cause == "not_found":
            return fail(check, f"{error}; say --radar-namespace and --namespace")
        return unknown(check, str(error))
