"""The hub's agent API as one AuditHub reaches it.

Owns the HTTP client, TLS, the cluster token and what each status means. Called by the reconciler
and the resync. Never follows a redirect (it would carry the token elsewhere), never reads an
unbounded answer, and never puts the token, a body or a header into an error.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from radar_audit_events.policy_answers import (
    DestinationTestAnswer,
    OperatorHeartbeatAnswer,
    OwnerAnswer,
    SettingsAnswer,
)
from radar_audit_events.policy_wire import OperatorHeartbeat, OwnerDocument
from radar_audit_events.retry_after import retry_after_seconds
from radar_audit_runtime.answers import AnswerTooLargeError, read_bounded

from .errors import HubRefusedError, HubUnauthorizedError, HubUnreachableError, SpecError

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # of a heartbeat with 5,000 owners
_CONNECT_SECONDS = 5.0
_MAX_CONNECTIONS = 8  # each TLS connection keeps 128 KiB
_MAX_TEXT_CHARS = 500
_MAX_ERRORS = 5

T = TypeVar("T")
Observe = Callable[[str, str, float], None]


class _FieldError(msgspec.Struct):
    field: str = ""
    message: str = ""


class _Problem(msgspec.Struct):
    """What is read of a problem document (RFC 9457)."""

    code: str = "unknown"
    detail: str = ""
    request_id: str = ""
    errors: list[_FieldError] = []


class HubClient:
    """A connection pool to one hub; `observe` is told (operation, code, seconds) of each call.

    `token` is asked at each call, as it may be renewed; it may raise HubUnreachableError.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        ca_bundle: str | None,
        timeout_seconds: float,
        user_agent: str,
        observe: Observe,
    ) -> None:
        """Make the pool; no connection yet. Raises SpecError for a CA bundle that holds none."""
        self._base = url.rstrip("/") + "/api/agent"
        self._token = token
        self._observe = observe
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=_verification(url, ca_bundle), limit=_MAX_CONNECTIONS, keepalive_timeout=20
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the pool."""
        await self._session.close()

    async def settings(self) -> SettingsAnswer:
        """Return whose token this is and what is in force.

        Like every call: raises HubUnreachableError, HubUnauthorizedError, HubRefusedError.
        """
        return _decode(await self._call("settings", "GET", "/settings"), SettingsAnswer)

    async def put(self, owner_id: str, document: OwnerDocument, *, dry_run: bool) -> OwnerAnswer:
        """Store an owner's document, or only try it."""
        path = f"/owners/{quote(owner_id, safe=':')}" + ("?dryRun=true" if dry_run else "")
        operation = "try" if dry_run else "put"
        body = await self._call(operation, "PUT", path, msgspec.json.encode(document))
        return _decode(body, OwnerAnswer)

    async def release(self, owner_id: str, deletion_policy: str, uid: str) -> None:
        """Release an owner of that uid; there being none is well."""
        query = f"?policy={quote(deletion_policy)}&uid={quote(uid)}"
        await self._call("release", "DELETE", f"/owners/{quote(owner_id, safe=':')}{query}")

    async def heartbeat(self, sent: OperatorHeartbeat) -> OperatorHeartbeatAnswer:
        """Tell which owners live."""
        body = msgspec.json.encode(sent)
        answer = await self._call("heartbeat", "POST", "/operator-heartbeat", body)
        return _decode(answer, OperatorHeartbeatAnswer)

    async def test(self, owner_id: str, destination: str) -> DestinationTestAnswer:
        """Send a test message to a destination."""
        path = (
            f"/owners/{quote(owner_id, safe=':')}/destinations/{quote(destination, safe='')}/test"
        )
        return _decode(await self._call("test", "POST", path, b"{}"), DestinationTestAnswer)

    async def _call(self, operation: str, method: str, path: str, body: bytes = b"") -> bytes:
        headers = {"Authorization": f"Bearer {self._token()}"}
        if body:
            headers["Content-Type"] = "application/json"
        began, code = time.monotonic(), "unreachable"
        # The errors below are raised `from None`: aiohttp's own hold the request's headers.
        try:
            async with self._session.request(
                method, self._base + path, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                code = str(response.status)
                answer = await read_bounded(response, MAX_ANSWER_BYTES)
                retry_after = retry_after_seconds(response.headers.get("Retry-After"))
                return _judge(response.status, answer, retry_after)
        except AnswerTooLargeError:
            raise HubUnreachableError("its answer is too large") from None
        except TimeoutError:
            raise HubUnreachableError("timeout") from None
        except aiohttp.ClientSSLError:
            raise HubUnreachableError("its certificate is not trusted") from None
        except aiohttp.ClientConnectorError:
            raise HubUnreachableError("no connection") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise HubUnreachableError("the connection was cut") from None
        finally:
            self._observe(operation, code, time.monotonic() - began)


def _verification(url: str, ca_bundle: str | None) -> ssl.SSLContext | bool:
    if ca_bundle is None or urlsplit(url).scheme != "https":
        return True
    try:
        return ssl.create_default_context(
            cadata=base64.b64decode(ca_bundle, validate=True).decode("ascii")
        )
    except (binascii.Error, ValueError, OSError):
        raise SpecError("spec.caBundle must hold certificates in PEM, in base64") from None


def _judge(status: int, answer: bytes, retry_after: float | None) -> bytes:
    if status in {200, 204}:
        return answer
    if status == 401:
        raise HubUnauthorizedError("the hub does not know the cluster token (401)")
    if status in {429, 408} or status >= 500:
        raise HubUnreachableError(f"it answers {status}", retry_after)
    if 300 <= status < 400:
        raise HubUnreachableError("it redirects elsewhere; set spec.url to that address")
    try:
        problem = msgspec.json.decode(answer, type=_Problem)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # A 404 of something that is not the hub, or a proxy's page.
        raise HubUnreachableError(f"something that is no hub answers {status}") from None
    fields = [f"{each.field}: {each.message}" for each in problem.errors[:_MAX_ERRORS]]
    sentence = "; ".join(fields) or problem.detail or problem.code
    if problem.request_id:
        sentence = f"{sentence[:_MAX_TEXT_CHARS]} (request {problem.request_id[:64]})"
    raise HubRefusedError(status, problem.code[:64], sentence[: 2 * _MAX_TEXT_CHARS])


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise HubUnreachableError("its answer cannot be read; is it a newer version?") from None
