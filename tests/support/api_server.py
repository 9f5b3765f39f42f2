"""An API server in this process: lists, watches, versions, patches, and the real schemas.

Owns the objects and the answers. Called by the operator's tests, which run the whole operator
against it. Faithful where an operator can notice: resourceVersions grow and are compared, a watch
replays what came since its version, /status and spec are apart, generations count spec alone, our
kinds are defaulted, pruned and judged by the API server's own packages.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.crd_checker import CrdChecker

GROUP = "audit.radarhq.io"
KINDS = {"auditpolicies": "AuditPolicy", "audithubs": "AuditHub"}
CORE = {"namespaces": "Namespace", "secrets": "Secret", "pods": "Pod", "events": "Event"}
CLUSTER_SCOPED = {"namespaces", "audithubs"}


@dataclass(frozen=True)
class Request:
    """What was asked, as a Role names it."""

    verb: str
    group: str
    resource: str
    namespace: str
    agent: str


@dataclass
class Faults:
    """What goes wrong until a test says otherwise."""

    forbidden: set[str] = field(default_factory=set)  # resources that answer 403
    status: int = 0  # answer this to every request
    retry_after: str = ""
    expired_watches: int = 0  # so many watches are answered 410


@dataclass
class ApiServer:
    """The server; `url` is known once it runs."""

    checker: CrdChecker
    faults: Faults = field(default_factory=Faults)
    requests: list[Request] = field(default_factory=list)
    on_write: Callable[[str, str], None] | None = None
    url: str = ""

    def __post_init__(self) -> None:
        self.objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self._log: list[tuple[int, str, str, dict[str, Any]]] = []
        self._versions = itertools.count(100)
        self._version = 100
        self._changed = asyncio.Condition()
        self._streams: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        """Listen; a second start takes the same port, as an API server that was restarted."""
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Cut every connection and close the port."""
        self.cut_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def cut_watches(self) -> None:
        """End all watches, as a load balancer or a restart does."""
        for task in tuple(self._streams):
            task.cancel()

    def write_kubeconfig(self, folder: Path) -> str:
        """Write a kubeconfig for this server and return its path."""
        path = folder / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": self.url}}
        user = {"name": "u", "user": {"token": "api-server-token"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        whole = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "users": [user]}
        path.write_text(json.dumps(whole | {"contexts": [context], "current-context": "x"}))
        return str(path)

    async def apply(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Create an object, or replace its spec, data, labels and annotations."""
        resource = _resource(raw)
        meta = raw["metadata"]
        known = self.objects.get(resource, {}).get((meta.get("namespace", ""), meta["name"]))
        if known is None:
            return await self._store(resource, copy.deepcopy(raw), None)
        fresh = copy.deepcopy(known)
        fresh |= {key: copy.deepcopy(raw[key]) for key in raw if key not in {"metadata", "status"}}
        fresh["metadata"] |= {
            key: meta.get(key, {}) for key in ("labels", "annotations") if key in meta
        }
        return await self._store(resource, fresh, known)

    async def delete(self, resource: str, namespace: str, name: str) -> None:
        """Delete an object; nothing of ours may stop that, so it is gone at once."""
        gone = self.objects[resource].pop((namespace, name))
        assert not gone["metadata"].get("finalizers"), "nothing of ours may block a deletion"
        await self._tell("DELETED", resource, gone)

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        """Return an object as it is now."""
        return self.objects[resource][namespace, name]

    def verbs(self) -> set[tuple[str, str, str]]:
        """Return (group, resource, verb) of every request of the operator."""
        return {(each.group, each.resource, each.verb) for each in self.requests}

    async def _store(
        self, resource: str, raw: dict[str, Any], old: dict[str, Any] | None
    ) -> dict[str, Any]:
        meta = raw["metadata"]
        if resource in KINDS:
            verdict = self.checker.check(raw, old)
            if verdict.errors or verdict.unknown:
                raise web.HTTPUnprocessableEntity(text="; ".join(verdict.errors + verdict.unknown))
            raw = verdict.object
            meta = raw["metadata"]
        if old is None:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            meta |= {"uid": str(uuid.uuid4()), "generation": 1}
            meta.setdefault("creationTimestamp", now)
        elif raw.get("spec") != old.get("spec"):
            meta["generation"] = old["metadata"]["generation"] + 1
        place = self.objects.setdefault(resource, {})
        if old is not None and _bare(raw) == _bare(old):
            return old
        place[meta.get("namespace", ""), meta["name"]] = raw
        await self._tell("ADDED" if old is None else "MODIFIED", resource, raw)
        return raw

    async def _tell(self, kind: str, resource: str, raw: dict[str, Any]) -> None:
        async with self._changed:
            self._version = next(self._versions)
            raw["metadata"]["resourceVersion"] = str(self._version)
            self._log.append((self._version, kind, resource, copy.deepcopy(raw)))
            self._changed.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = [part for part in request.match_info["path"].split("/") if part]
        found = _discovery(parts)
        if self.faults.status:
            headers = {"Retry-After": self.faults.retry_after} if self.faults.retry_after else {}
            return web.json_response(
                _status(self.faults.status, "told to fail"),
                status=self.faults.status,
                headers=headers,
            )
        if found is not None:
            return web.json_response(found)
        group, resource, namespace, name, sub = _place(parts)
        is_watch = request.query.get("watch") in {"1", "true"}
        verb = _verb(request.method, name, is_watch=is_watch)
        role_name = resource + (f"/{sub}" if sub else "")
        agent = request.headers.get("User-Agent", "")
        self.requests.append(Request(verb, group, role_name, namespace, agent))
        if resource in self.faults.forbidden:
            return web.json_response(_status(403, f"{resource} is forbidden"), status=403)
        if resource == "selfsubjectaccessreviews":
            return web.json_response(await self._review(request), status=201)
        try:
            if is_watch:
                return await self._watch(request, resource, namespace)
            if name or request.method == "POST":
                return await self._one(request, resource, namespace, name, sub)
            return self._list(request, resource, namespace)
        except web.HTTPUnprocessableEntity as error:
            return web.json_response(_status(422, error.text or ""), status=422)

    async def _review(self, request: web.Request) -> dict[str, Any]:
        asked = (await request.json())["spec"]["resourceAttributes"]
        return {"status": {"allowed": asked["resource"] not in self.faults.forbidden}}

    async def _one(
        self, request: web.Request, resource: str, namespace: str, name: str, sub: str
    ) -> web.Response:
        place = self.objects.setdefault(resource, {})
        # Read before anything is looked up: what another writes meanwhile would be undone.
        sent = await request.json() if request.method in {"POST", "PUT", "PATCH"} else {}
        if request.method == "POST":
            raw = sent
            key = (namespace, raw["metadata"]["name"])
            if key in place:
                return web.json_response(_status(409, "already exists"), status=409)
            self._count("create", resource)
            return web.json_response(await self._store(resource, raw, None), status=201)
        old = place.get((namespace, name))
        if old is None:
            return web.json_response(_status(404, f"{resource} {name} not found"), status=404)
        if request.method == "GET":
            return web.json_response(old)
        if request.method == "PUT":
            version = sent["metadata"].get("resourceVersion")
            if version != old["metadata"]["resourceVersion"]:
                return web.json_response(_status(409, "the object has changed"), status=409)
            fresh = sent
        else:
            assert request.method == "PATCH"
            allowed = {"status"} if sub == "status" else set(sent) - {"status"}
            fresh = copy.deepcopy(old)
            _merge(fresh, {key: value for key, value in sent.items() if key in allowed})
        self._count("patch" if request.method == "PATCH" else "update", resource)
        return web.json_response(await self._store(resource, fresh, old))

    def _count(self, verb: str, resource: str) -> None:
        if self.on_write is not None:
            self.on_write(verb, resource)

    def _list(self, request: web.Request, resource: str, namespace: str) -> web.Response:
        items = self._selected(request, resource, namespace)
        limit, start = int(request.query.get("limit", 0)), int(request.query.get("continue", 0))
        page = items[start : start + limit] if limit else items
        meta: dict[str, Any] = {"resourceVersion": str(self._version)}
        if limit and start + limit < len(items):
            meta["continue"] = str(start + limit)
        shown = [_shown(request, item) for item in page]
        return web.json_response({"kind": "List", "metadata": meta, "items": shown})

    def _selected(self, request: web.Request, resource: str, ns: str) -> list[dict[str, Any]]:
        found = self.objects.get(resource, {})
        near = [found[key] for key in sorted(found) if ns in {"", key[0]}]
        return [item for item in near if _matches(item, request.query.get("labelSelector", ""))]

    async def _watch(self, request: web.Request, resource: str, ns: str) -> web.StreamResponse:
        seen = int(request.query.get("resourceVersion") or 0)
        selector = request.query.get("labelSelector", "")
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        if self.faults.expired_watches:
            self.faults.expired_watches -= 1
            expired = {"type": "ERROR", "object": _status(410, "too old resource version")}
            await answer.write(json.dumps(expired).encode() + b"\n")
            return answer
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            while True:
                for version, kind, name, raw in self._since(seen):
                    seen = version
                    near = ns in {"", raw["metadata"].get("namespace", "")}
                    if name == resource and near and _matches(raw, selector):
                        line = {"type": kind, "object": _shown(request, raw)}
                        await answer.write(json.dumps(line).encode() + b"\n")
                async with self._changed:
                    if self._version <= seen:
                        await self._changed.wait()
        except ConnectionError:
            return answer
        except asyncio.CancelledError:
            if request.transport is not None:
                request.transport.abort()
            raise
        finally:
            self._streams.discard(task)

    def _since(self, version: int) -> list[tuple[int, str, str, dict[str, Any]]]:
        first = len(self._log)
        while first and self._log[first - 1][0] > version:
            first -= 1
        return self._log[first:]


def _verb(method: str, name: str, *, is_watch: bool) -> str:
    if method == "GET":
        return "watch" if is_watch else "get" if name else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]


def _place(parts: list[str]) -> tuple[str, str, str, str, str]:
    """Return group, resource, namespace, name and subresource of a path."""
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    rest += [""] * (3 - len(rest))
    return group, rest[0], namespace, rest[1], rest[2]


def _discovery(parts: list[str]) -> dict[str, Any] | None:
    version = {"groupVersion": f"{GROUP}/v1alpha1", "version": "v1alpha1"}
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"]}
    if parts == ["apis"]:
        group = {"name": GROUP, "versions": [version], "preferredVersion": version}
        return {"kind": "APIGroupList", "groups": [group]}
    if parts == ["api", "v1"]:
        return {
            "kind": "APIResourceList",
            "resources": [_described(*each) for each in CORE.items()],
        }
    if parts == ["apis", GROUP, "v1alpha1"]:
        served = [_described(*each) for each in KINDS.items()]
        served += [_described(f"{name}/status", kind) for name, kind in KINDS.items()]
        return {"kind": "APIResourceList", "resources": served}
    return None


def _described(name: str, kind: str) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch", "create", "update", "delete"]
    scope = name.split("/", maxsplit=1)[0] not in CLUSTER_SCOPED
    return {"name": name, "kind": kind, "namespaced": scope, "verbs": verbs, "singularName": ""}


def _resource(raw: dict[str, Any]) -> str:
    names = {kind: name for name, kind in {**KINDS, **CORE}.items()}
    return names[raw["kind"]]


def _shown(request: web.Request, item: dict[str, Any]) -> dict[str, Any]:
    if "PartialObjectMetadata" not in request.headers.get("Accept", ""):
        return item
    return {"kind": "PartialObjectMetadata", "metadata": item["metadata"]}


def _matches(item: dict[str, Any], selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    wanted = [each.split("=", 1) for each in selector.split(",") if each]
    return all(labels.get(name) == value for name, value in wanted)


def _merge(old: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            old.pop(key, None)
        elif isinstance(value, dict):
            inner = old.get(key)
            fresh: dict[str, Any] = inner if isinstance(inner, dict) else {}
            _merge(fresh, value)
            old[key] = fresh
        else:
            old[key] = value


def _bare(raw: dict[str, Any]) -> dict[str, Any]:
    meta = {key: value for key, value in raw["metadata"].items() if key != "resourceVersion"}
    return raw | {"metadata": meta}


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}
