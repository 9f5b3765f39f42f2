"""A stand-in for Stripe on a loopback port: it checks what the real one checks.

Owns the HTTP edge, shaped by Stripe's public documentation: key, version, form encoding, known
and needed parameters, idempotency keys, signed webhooks. Tests steer it by `account` (what people
and banks do), `faults` (how the next requests fail) and `deliver`. What it was asked is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from tests.support.stripe_objects import PRICES, Account, Object

SECRET_KEY = "sk_test_stand_in_0123456789"
WEBHOOK_SECRET = "whsec_stand_in_0123456789"
_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z]+)?\Z")
_FORM = "application/x-www-form-urlencoded"
_SESSION = {
    "mode", "line_items[0][price]", "line_items[0][quantity]", "client_reference_id", "customer",
    "customer_email", "success_url", "cancel_url",
}  # fmt: skip
_MAPS = re.compile(r"^(subscription_data\[metadata\]|metadata)\[[a-z_]{1,40}\]\Z")
_PRORATIONS = ("always_invoice", "create_prorations", "none")


class StripeFaultError(Exception):
    """An answer in Stripe's form of errors; one that is `kept` comes again under the same key."""

    def __init__(self, status: int, code: str | None, message: str, *, kept: bool = False) -> None:
        super().__init__(message)
        self.status, self.kept = status, kept
        kind = "idempotency_error" if code == "idempotency_key_in_use" else "invalid_request_error"
        self.error: Object = {"type": kind, "message": message}
        if code is not None:
            self.error["code"] = code


@dataclass
class Asked:
    """A request that came, and whether it did something (not a repeat, not refused)."""

    method: str
    path: str
    params: dict[str, str]
    key: str | None
    done: bool = False


Fault = Callable[[], Awaitable[Any] | None]


@dataclass
class Faults:
    """What befalls the next requests, one entry a request: it raises, or is waited for."""

    before: deque[Fault] = field(default_factory=deque)  # then nothing was done
    after: deque[Fault] = field(default_factory=deque)  # then it was done, but is not answered


async def _next(faults: deque[Fault]) -> None:
    if faults and (waiting := faults.popleft()()) is not None:
        await waiting


class _CutError(Exception):
    """The connection ends without an answer."""


def cut() -> None:
    """Fail by closing the connection."""
    raise _CutError


def refuse(status: int, code: str | None = None) -> Callable[[], None]:
    """Fail by answering with this status."""

    def fail() -> None:
        raise StripeFaultError(status, code, "made to fail", kept=status >= 500)

    return fail


@dataclass
class StripeServer:
    """A running stand-in."""

    account: Account
    url: str = ""
    faults: Faults = field(default_factory=Faults)
    requests: list[Asked] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _kept: dict[str, tuple[Any, int, Object]] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gate.set()

    def hold_posts(self) -> None:
        """Do what is posted from now on, but do not answer before `gate` is set again."""
        self.gate.clear()

    def done(self, method: str, path: str = "") -> list[Asked]:
        """Return the requests that did something, by method and a part of the path."""
        return [a for a in self.requests if a.done and a.method == method and path in a.path]

    async def deliver(self, hub_url: str, *events: Object, **changes: Any) -> list[int]:
        """Send events one after another, each signed; return the statuses.

        `changes` go to `signed`.
        """
        statuses = []
        async with aiohttp.ClientSession() as client:
            for event in events:
                body, header = self.signed(event, **changes)
                headers = {"Stripe-Signature": header, "Content-Type": "application/json"}
                address = f"{hub_url}/api/webhooks/stripe"
                async with client.post(address, data=io.BytesIO(body), headers=headers) as answer:
                    statuses.append(answer.status)
        return statuses

    def signed(
        self, event: Object, *, secret: str = WEBHOOK_SECRET, sent_at: int | None = None
    ) -> tuple[bytes, str]:
        """Return an event's body and its Stripe-Signature header."""
        body = json.dumps(event, indent=2).encode()
        at = self.account.now() if sent_at is None else sent_at
        mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return body, f"t={at},v1={mac},v0={'0' * 64}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request of the API."""
        raw = await request.read()
        asked = Asked(request.method, request.path, {}, request.headers.get("Idempotency-Key"))
        self.requests.append(asked)
        replayed = {}
        try:
            _check_head(request, raw)
            asked.params = _params(raw)
            await _next(self.faults.before)
            status, body, again = await self._once(asked)
            body = deepcopy(body)  # as it is now, however long the answer takes
            replayed = {"Idempotent-Replayed": "true"} if again else {}
            await _next(self.faults.after)
            if request.method == "POST":
                await self.gate.wait()
        except StripeFaultError as fault:
            status, body = fault.status, {"error": fault.error}
            if fault.kept and asked.key is not None:
                self._kept[asked.key] = (_print(asked), status, body)
        except _CutError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        shown = {key: value for key, value in body.items() if not key.startswith("_")}
        headers = {"Request-Id": f"req_{len(self.requests)}", **replayed}
        return web.json_response(shown, status=status, headers=headers)

    async def _once(self, asked: Asked) -> tuple[int, Object, bool]:
        key = asked.key if asked.method == "POST" else None
        if key is not None and key in self._kept:
            first, status, body = self._kept[key]
            if first != _print(asked):
                raise StripeFaultError(400, None, "keys are for the same parameters only")
            return status, body, True
        if key is not None and key in self._running:
            raise StripeFaultError(409, "idempotency_key_in_use", "this key is in use right now")
        if key is not None:
            self._running.add(key)
        try:
            await asyncio.sleep(0)  # two requests with one key do meet
            body = self._act(asked)
        finally:
            self._running.discard(key or "")
        asked.done = True
        if key is not None:
            self._kept[key] = (_print(asked), 200, deepcopy(body))
        return 200, body, False

    def _act(self, asked: Asked) -> Object:
        method, parts = asked.method, asked.path.removeprefix("/v1/").split("/")
        if (method, parts) == ("POST", ["checkout", "sessions"]):
            return self._open_session(asked.params)
        if method == "POST" and parts[:2] == ["checkout", "sessions"] and parts[3:] == ["expire"]:
            return self._expire_session(parts[2])
        if (method, parts) == ("POST", ["billing_portal", "sessions"]):
            return self._open_portal(asked.params)
        if parts[0] == "subscriptions" and len(parts) == 2:
            found = self.account.subscriptions.get(parts[1])
            if found is None:
                raise StripeFaultError(404, "resource_missing", "no such subscription")
            if method == "GET":
                return found
            if method == "DELETE":
                _known(asked.params, {"prorate", "invoice_now"})
                return self._cancel(found)
            return self._update(found, asked.params)
        raise StripeFaultError(404, None, "unrecognized request URL")

    def _open_session(self, params: dict[str, str]) -> Object:
        _known(params, _SESSION)
        _needed(params, "mode", "success_url", "line_items[0][price]", "line_items[0][quantity]")
        if params["mode"] != "subscription":
            raise StripeFaultError(400, "parameter_invalid", "only subscriptions are known here")
        if params["line_items[0][price]"] not in PRICES:
            raise StripeFaultError(400, "resource_missing", "no such price")
        if not params["line_items[0][quantity]"].isdigit():
            raise StripeFaultError(400, "parameter_invalid_integer", "quantity")
        if "customer" in params and "customer_email" in params:
            raise StripeFaultError(400, None, "customer and customer_email exclude each other")
        if "customer" in params and params["customer"] not in self.account.customers:
            raise StripeFaultError(400, "resource_missing", "no such customer")
        return self.account.open_session(params)

    def _expire_session(self, session_id: str) -> Object:
        session = self.account.sessions.get(session_id)
        if session is None:
            raise StripeFaultError(404, "resource_missing", "no such session")
        if session["status"] != "open":
            raise StripeFaultError(400, None, "only open sessions can be expired")
        return self.account.expire_session(session_id)

    def _open_portal(self, params: dict[str, str]) -> Object:
        _known(params, {"customer", "return_url"})
        _needed(params, "customer")
        if params["customer"] not in self.account.customers:
            raise StripeFaultError(400, "resource_missing", "no such customer")
        page = {"object": "billing_portal.session", "customer": params["customer"]}
        return {"id": "bps_1", "url": "https://billing.stripe.com/p/session/bps_1", **page}

    def _update(self, found: Object, params: dict[str, str]) -> Object:
        _known(params, {"items[0][id]", "items[0][quantity]", "proration_behavior"})
        _needed(params, "items[0][id]", "items[0][quantity]")
        if params.get("proration_behavior", "create_prorations") not in _PRORATIONS:
            raise StripeFaultError(400, "parameter_invalid", "proration_behavior")
        if params["items[0][id]"] != found["items"]["data"][0]["id"]:
            raise StripeFaultError(400, "resource_missing", "no such subscription item")
        if found["status"] in ("canceled", "incomplete_expired"):
            raise StripeFaultError(400, None, "a canceled subscription can be given metadata only")
        self.account.change(found["id"], quantity=int(params["items[0][quantity]"]))
        return found

    def _cancel(self, found: Object) -> Object:
        if found["status"] == "canceled":
            raise StripeFaultError(404, "resource_missing", "no such subscription")
        self.account.cancel(found["id"])
        return found


def _check_head(request: web.Request, raw: bytes) -> None:
    if request.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
        raise StripeFaultError(401, None, "invalid API key provided")
    if not _VERSION.match(request.headers.get("Stripe-Version", "")):
        raise StripeFaultError(400, None, "invalid Stripe API version")
    if raw and request.content_type != _FORM:
        raise StripeFaultError(400, None, f"the body must be {_FORM}")
    if len(request.headers.get("Idempotency-Key", "")) > 255:
        raise StripeFaultError(400, None, "an idempotency key has at most 255 characters")


def _params(raw: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw)))
    except ValueError:
        raise StripeFaultError(400, None, "the body is not form-encoded") from None


def _known(params: dict[str, str], names: set[str]) -> None:
    for name in params:
        if name not in names and not _MAPS.match(name):
            raise StripeFaultError(400, "parameter_unknown", f"received unknown parameter: {name}")


def _needed(params: dict[str, str], *names: str) -> None:
    for name in names:
        if not params.get(name):
            raise StripeFaultError(400, "parameter_missing", f"missing required param: {name}")


def _print(asked: Asked) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return asked.method, asked.path, tuple(sorted(asked.params.items()))


@asynccontextmanager
async def running_stripe(now: Callable[[], int]) -> AsyncIterator[StripeServer]:
    """Serve a stand-in with an empty account; `now` is its clock in Unix seconds."""
    server = StripeServer(Account(now))
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()
