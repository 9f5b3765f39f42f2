"""WorkOS through its documented HTTP API: what the hub asks of it, and what failing means.

Owns the calls: authorize, token, organizations, portal links. Called by `portal.py` and
`signing_in.py`. Never called inside a transaction. Never logs a code, a key or an answer.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from radar_audit_hub.outbound import Outbound, OutboundError
from radar_audit_hub.settings_signin import WorkosSettings

_ID = re.compile(r"^[a-z]{2,10}_[A-Za-z0-9]{1,60}\Z")
_WORD = re.compile(r"^[A-Za-z0-9_.-]{1,60}\Z")
_LIMIT_BYTES = 256 * 1024
_TIMEOUT_SECONDS = 10.0
Json = Mapping[str, Any]


class WorkosAwayError(Exception):
    """WorkOS did not answer, or not as documented: the same call may work later."""


class WorkosRefusedError(Exception):
    """WorkOS answered that it does not do this; `status` is its answer's."""

    def __init__(self, status: int) -> None:
        """Keep the status; the message holds nothing of the answer."""
        super().__init__(f"WorkOS answered with status {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Whom a connection signed in. `idp` is the connection's type, such as OktaSAML."""

    id: str
    connection_id: str
    organization_id: str
    idp: str
    email: str


class Workos:
    """One client; safe to be used by many requests at once."""

    def __init__(
        self, settings: WorkosSettings, outbound: Outbound, tls: ssl.SSLContext | None
    ) -> None:
        """Ask nothing yet."""
        self._settings, self._outbound = settings, outbound
        self._url = settings.url.rstrip("/")
        self._tls = tls if urlsplit(self._url).scheme == "https" else None

    def authorize_url(self, *, workos_id: str, redirect_uri: str, state: str) -> str:
        """Return where a browser signs in with an organization's own provider."""
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id or "",
            "redirect_uri": redirect_uri,
            "organization": workos_id,
            "state": state,
        }
        return f"{self._url}/sso/authorize?{urlencode(asked)}"

    async def profile(self, code: str) -> Profile:
        """Redeem a code. Raises WorkosRefusedError for one that is no good, WorkosAwayError."""
        answer = await self._ask(
            "POST",
            "/sso/token",
            {
                "client_id": self._settings.client_id or "",
                "client_secret": self._settings.api_key or "",
                "grant_type": "authorization_code",
                "code": code,
            },
            keyed=False,
        )
        found = answer.get("profile")
        if not isinstance(found, dict):
            raise WorkosAwayError("the answer holds no profile")
        idp = found.get("connection_type")
        return Profile(
            id=_id(found, "id"),
            connection_id=_id(found, "connection_id"),
            organization_id=_id(found, "organization_id"),
            idp=idp if isinstance(idp, str) and _WORD.match(idp) else "unknown",
            email=str(found.get("email", "")),
        )

    async def verified_domains(self, workos_id: str) -> list[str]:
        """Return the domains that an organization has proved to own, in lower case."""
        found = (await self._ask("GET", f"/organizations/{quote(workos_id)}")).get("domains")
        if not isinstance(found, list):
            raise WorkosAwayError("the answer holds no domains")
        return [
            one["domain"].lower()
            for one in found
            if isinstance(one, dict)
            and one.get("state") == "verified"
            and isinstance(one.get("domain"), str)
        ]

    async def ensure_organization(self, org_id: str, name: str) -> str:
        """Return the id of the organization for one of our orgs, made if there is none.

        It carries our id, and the call a key made of it, so that asking twice makes one.
        """
        path = f"/organizations/external_id/{quote(org_id)}"
        try:
            return _id(await self._ask("GET", path), "id")
        except WorkosRefusedError as error:
            if error.status != 404:
                raise
        body = {"name": name, "external_id": org_id}
        try:
            made = await self._ask("POST", "/organizations", body, idempotency_key=f"org-{org_id}")
        except WorkosRefusedError:  # perhaps another replica made it a moment ago
            made = await self._ask("GET", path)
        return _id(made, "id")

    async def portal_link(self, workos_id: str, intent: str, return_url: str) -> str:
        """Return the address of the Admin Portal; it is good for five minutes: a secret."""
        body = {"organization": workos_id, "intent": intent, "return_url": return_url}
        link = (await self._ask("POST", "/portal/generate_link", body)).get("link")
        if not isinstance(link, str) or not link.startswith(("https://", "http://127.0.0.1")):
            raise WorkosAwayError("the answer holds no link")
        return link

    async def _ask(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        keyed: bool = True,
        idempotency_key: str | None = None,
    ) -> Json:
        headers = {"Accept": "application/json"}
        if keyed:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        try:
            answer = await self._outbound.send(
                method,
                self._url + path,
                headers=headers,
                body=None if body is None else msgspec.json.encode(body),
                tls=self._tls,
                timeout_seconds=_TIMEOUT_SECONDS,
                limit_bytes=_LIMIT_BYTES,
            )
        except OutboundError as error:
            raise WorkosAwayError(str(error)) from None
        if 400 <= answer.status < 500 and answer.status != 429:
            raise WorkosRefusedError(answer.status)
        try:
            found = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            found = None
        if not 200 <= answer.status < 300 or not isinstance(found, dict):
            raise WorkosAwayError(f"WorkOS answered with status {answer.status}")
        return found


def _id(found: Json, name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not _ID.match(value):
        raise WorkosAwayError(f"the answer holds no {name}")
    return value
