"""The Kubernetes API: the only module that sees the Kubernetes client.

Owns credentials, TLS and each request that the operator makes. Called by the reconciler, the
watches, the lease and the event poster. It uses the official client's `ApiClient.call_api` and
none of its model classes, which would cost 100 MB. Never logs or raises a body: Secrets pass here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from radar_audit_runtime.answers import AnswerTooLargeError, read_bounded

from .errors import ClusterError, ClusterUnreachableError, OperatorError
from .specs import GROUP, VERSION

ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = f"/apis/{GROUP}/{VERSION}"
PAGE_ITEMS = 100  # a page of a list: bounds memory, a thousand policies are ten requests
_METADATA_ONLY = "application/json;as={};g=meta.k8s.io;v=v1"
_TIMEOUT_SECONDS = 30.0
_WATCH_SECONDS = 300  # the server ends a watch after it; bookmarks come each minute
_SILENCE_SECONDS = 90.0  # without even a bookmark the connection is dead
_MAX_CONNECTIONS = 20  # each TLS connection keeps 128 KiB
_MAX_BODY_BYTES = 32 * 1024 * 1024
_MAX_REASON_CHARS = 300
_NAME = re.compile(r"^[a-z0-9][a-z0-9.:-]{0,252}\Z")

Recorder = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    type: str
    object: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another HTTP client needs to reach the same API server as the same subject."""

    server: str
    token: str | None
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None


class Cluster:
    """The API server; `record` is told of each write as (verb, resource)."""

    def __init__(self, user_agent: str, record: Recorder, kubeconfig: str | None) -> None:
        """Nothing is read or opened before `open`; null `kubeconfig`: those of the pod."""
        self._user_agent, self._record, self._kubeconfig = user_agent, record, kubeconfig
        self._configuration: Any = None
        self._client: Any = None

    async def open(self) -> None:
        """Load the kubeconfig's credentials, else those of the pod. Raises OperatorError."""
        configuration: Any = Configuration()
        loader: Any = kube_config  # it has no types
        configuration.connection_pool_maxsize = _MAX_CONNECTIONS
        configuration.retries = None
        # Else each request looks for a .netrc, in a thread: a third of a thousand policies' time.
        configuration.client_session_kwargs = {"trust_env": False}
        try:
            if self._kubeconfig is None:
                loader.load_incluster_config(configuration)
            else:
                await loader.load_kube_config(
                    config_file=self._kubeconfig,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except (kube_config.ConfigException, OSError, TypeError, ValueError) as error:
            raise OperatorError(
                f"no credentials for a Kubernetes API server were found ({error}); run in a pod "
                "with a ServiceAccount, or set KUBECONFIG"
            ) from None
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._client.user_agent = self._user_agent

    async def close(self) -> None:
        """Close the connections. Harmless when nothing was opened."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def credentials(self) -> Credentials:
        """Return the present credentials; a token is read again when it is due."""
        held = self._configuration
        if held.refresh_api_key_hook is not None:
            held.refresh_api_key_hook(held)
        coded = held.api_key.get("BearerToken") or held.api_key.get("authorization")
        token = None if coded is None else coded.rpartition(" ")[2]
        return Credentials(held.host, token, held.ssl_ca_cert, held.cert_file, held.key_file)

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return one object or list. Raises ClusterError, ClusterUnreachableError."""
        return await self._call("GET", path, parameters or {}, None)

    async def pages(
        self, path: str, parameters: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield a list page by page; it is complete when the iteration ends without an error."""
        asked = {"limit": str(PAGE_ITEMS), **(parameters or {})}
        while True:
            page = await self.get(path, asked)
            yield page
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return
            asked["continue"] = following

    async def patch_status(
        self, plural: str, namespace: str, name: str, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Merge `patch` into the status of one of our objects; return the object."""
        place = f"{API}/namespaces/{_safe(namespace)}" if namespace else API
        path = f"{place}/{plural}/{_safe(name)}/status"
        self._record("patch", f"{plural}/status")
        return await self._call(
            "PATCH", path, {}, {"status": patch}, "application/merge-patch+json"
        )

    async def secret(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Secret with its data, for this moment only."""
        return await self.get(f"/api/v1/namespaces/{_safe(namespace)}/secrets/{_safe(name)}")

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Post a Kubernetes event."""
        self._record("create", "events")
        await self._call("POST", f"/api/v1/namespaces/{_safe(namespace)}/events", {}, event)

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Count a Kubernetes event that was posted before."""
        self._record("patch", "events")
        path = f"/api/v1/namespaces/{_safe(namespace)}/events/{_safe(name)}"
        await self._call("PATCH", path, {}, patch, "application/merge-patch+json")

    async def lease(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Lease."""
        return await self.get(f"{_leases(namespace)}/{_safe(name)}")

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Lease; a ClusterError 409 means that somebody was faster."""
        return await self._call("POST", _leases(namespace), {}, lease)

    async def replace_lease(
        self, namespace: str, name: str, lease: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Replace a Lease of the same resourceVersion; 409 means that it has changed."""
        return await self._call("PUT", f"{_leases(namespace)}/{_safe(name)}", {}, lease)

    async def may(self, attributes: Mapping[str, str]) -> bool:
        """Ask whether this subject may do something (a SelfSubjectAccessReview)."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": dict(attributes)},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self._call("POST", path, {}, body)
        return bool((answer.get("status") or {}).get("allowed"))

    async def watch(
        self,
        path: str,
        parameters: Mapping[str, str],
        *,
        metadata_only: bool,
    ) -> AsyncIterator[WatchEvent]:
        """List, then watch until the server ends it; the listed come as ADDED, then a BOOKMARK.

        With `metadata_only` no data leaves the API server, so that Secrets can be watched
        without reading one. Raises ClusterError (410 and 403 too), ClusterUnreachableError.
        """
        accept = _METADATA_ONLY.format("PartialObjectMetadataList") if metadata_only else ""
        version = ""
        asked = {"limit": str(PAGE_ITEMS), **parameters}
        while True:
            page = await self._call("GET", path, asked, None, accept=accept)
            for item in page.get("items") or ():
                yield WatchEvent("ADDED", item)
            meta = page.get("metadata") or {}
            version = meta.get("resourceVersion", "")
            if not meta.get("continue"):
                break
            asked["continue"] = meta["continue"]
        yield WatchEvent("BOOKMARK", {})
        accept = _METADATA_ONLY.format("PartialObjectMetadata") if metadata_only else ""
        follow = {
            **parameters,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        async for event in self._stream(path, follow, accept):
            yield event

    async def _stream(
        self, path: str, parameters: Mapping[str, str], accept: str
    ) -> AsyncIterator[WatchEvent]:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE_SECONDS)
        response = await self._send("GET", path, parameters, None, "", accept, timeout)
        try:
            if response.status >= 400:
                raise ClusterError(response.status, await _reason(response))
            async for line in _lines(response):
                event = json.loads(line)
                if event.get("type") == "ERROR":
                    status = event.get("object") or {}
                    raise ClusterError(int(status.get("code", 500)), _short(status))
                yield WatchEvent(event["type"], event["object"])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            raise ClusterUnreachableError(type(error).__name__) from None
        finally:
            response.close()

    async def _call(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        response = await self._send(method, path, parameters, body, content_type, accept, timeout)
        try:
            if response.status >= 400:
                raise ClusterError(response.status, await _reason(response))
            answer = json.loads(await _bounded(response))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ClusterUnreachableError(type(error).__name__) from None
        finally:
            response.release()
        if not isinstance(answer, dict):
            raise ClusterUnreachableError("no object")
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content_type: str,
        accept: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if self._client is None:
            raise ClusterUnreachableError("closed")
        headers = {"Accept": accept or "application/json", "User-Agent": self._user_agent}
        if body is not None:
            headers["Content-Type"] = content_type
        url = self._configuration.host + path + ("?" + urlencode(parameters) if parameters else "")
        key = await self._configuration.get_api_key_with_prefix(
            "BearerToken", alias="authorization"
        )
        if key:
            headers["Authorization"] = key
        try:
            answer = await self._client.call_api(
                method, url, headers, body, _request_timeout=limits
            )
        except TimeoutError:
            raise ClusterUnreachableError("timeout") from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise ClusterUnreachableError(type(error).__name__) from None
        response: aiohttp.ClientResponse = answer.response
        return response


def pod_namespace(folder: Path = ACCOUNT_FOLDER) -> str | None:
    """Return the namespace of the pod that this is, null outside of one."""
    with contextlib.suppress(OSError):
        return (folder / "namespace").read_text(encoding="utf-8").strip() or None
    return None


def _leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{_safe(namespace)}/leases"


def _safe(name: str) -> str:
    """Return a name for a path: an object's name cannot lead to another path."""
    if not _NAME.match(name):
        raise ClusterError(404, f"there can be no object named {name!r}")
    return quote(name)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await read_bounded(response, _MAX_BODY_BYTES)
    except AnswerTooLargeError:
        raise ClusterUnreachableError("answer too large") from None


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            line, rest = bytes(rest[:end]), rest[end + 1 :]
            if line.strip():
                yield line
        if len(rest) > _MAX_BODY_BYTES:
            raise ClusterUnreachableError("line too long")


async def _reason(response: aiohttp.ClientResponse) -> str:
    """Return the API server's own short reason; it quotes names, never a body of ours."""
    with contextlib.suppress(
        aiohttp.ClientError, TimeoutError, ValueError, ClusterUnreachableError
    ):
        return _short(json.loads(await _bounded(response)))
    return response.reason or "no reason"


def _short(status: Mapping[str, Any]) -> str:
    return str(status.get("message") or status.get("reason") or "no reason")[:_MAX_REASON_CHARS]
