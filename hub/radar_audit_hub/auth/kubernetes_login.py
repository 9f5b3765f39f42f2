"""Logging in with a ServiceAccount's token, which the cluster's API server checks (TokenReview).

Owns the asking, its bounds and a cache of at most 30 seconds. Called by `bearer.py` for a token
in the form of a JWT on the paths of clusters. Keeps a token's SHA-256 only, and puts no token
into a log or an error. An API server that is away is no refusal: collectors are asked to try
again, and keep what they have.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from radar_audit_hub.credentials import token_hash
from radar_audit_hub.errors import UnavailableError
from radar_audit_hub.metrics import Metrics
from radar_audit_hub.outbound import Outbound, OutboundError
from radar_audit_hub.settings_kubernetes import KubernetesSettings

from .token_review import Account, NotGood, claims_verdict, review_request, review_verdict

CACHE_SECONDS = 30.0
REFUSED_SECONDS = 5.0  # a refusal may be over soon: an account that was just made
MAX_CACHED = 1000
MAX_REVIEWS = 8
AWAY_SECONDS = 5
MAX_WAITING = 200
_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_MAX_ANSWER_BYTES = 256 * 1024
_logger = logging.getLogger(__name__)
_Verdict = Account | NotGood


class KubernetesLogin:
    """Says which ServiceAccount a token stands for; `now` is a steady clock in seconds."""

    def __init__(
        self,
        settings: KubernetesSettings,
        outbound: Outbound,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing and read no file yet."""
        self._settings, self._outbound, self._metrics, self._now = settings, outbound, metrics, now
        self._known: OrderedDict[bytes, tuple[float, _Verdict]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Verdict]] = {}
        self._slots = asyncio.Semaphore(MAX_REVIEWS)
        self._trust: tuple[tuple[int, int], ssl.SSLContext] | None = None

    async def account(
        self, token: str, before_asking: Callable[[], None] = lambda: None
    ) -> Account | NotGood:
        """Return whose token this is, if that account may log in. Raises UnavailableError.

        `before_asking` may raise to keep a token that is not known here from the API server.
        """
        said = claims_verdict(token, self._settings.audience)
        if isinstance(said, NotGood):
            return said
        if not self.is_operator(said) and said.name not in self._settings.collectors:
            return _stranger(said)
        digest = token_hash(token)
        verdict = self._cached(digest)
        if verdict is None:
            before_asking()
            verdict = await self._ask_once(digest, token)
        if isinstance(verdict, Account) and verdict != said:
            # The API server alone says who it is; the two differ in no honest token.
            return NotGood("unknown", "the token does not belong to whom it names")
        return verdict

    def is_operator(self, account: Account) -> bool:
        """Tell whether an account is one of the operators."""
        return account.name in self._settings.operators

    def _cached(self, digest: bytes) -> _Verdict | None:
        found = self._known.get(digest)
        return found[1] if found is not None and found[0] > self._now() else None

    async def _ask_once(self, digest: bytes, token: str) -> _Verdict:
        """Ask, or wait for who is asking about the same token already."""
        running = self._asking.get(digest)
        if running is None:
            if len(self._asking) >= MAX_WAITING:
                raise UnavailableError("too many tokens are being checked", AWAY_SECONDS)
            running = asyncio.create_task(self._review(digest, token))
            self._asking[digest] = running
            running.add_done_callback(lambda task: self._ended(digest, task))
        # Shielded: one caller that goes away must not end it for the others.
        return await asyncio.shield(running)

    def _ended(self, digest: bytes, task: asyncio.Task[_Verdict]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # looked at, also where every caller has gone away

    async def _review(self, digest: bytes, token: str) -> _Verdict:
        async with self._slots:
            try:
                verdict = await self._send(token)
            except (OutboundError, OSError, ValueError) as error:
                self._metrics.token_reviews.labels("unavailable").inc()
                # None of these repeats what was sent; a file's name is no secret.
                _logger.warning("a token could not be checked", extra={"cause": str(error)})
                raise UnavailableError(
                    "the API server, which checks ServiceAccounts' tokens, is away; try again",
                    AWAY_SECONDS,
                ) from None
        is_good = isinstance(verdict, Account)
        self._metrics.token_reviews.labels("accepted" if is_good else "refused").inc()
        self._keep(digest, verdict, CACHE_SECONDS if is_good else REFUSED_SECONDS)
        return verdict

    async def _send(self, token: str) -> _Verdict:
        own = _read(self._settings.token_file)
        answer = await self._outbound.send(
            "POST",
            self._settings.api_url.rstrip("/") + _PATH,
            headers={
                "Authorization": f"Bearer {own}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            body=review_request(token, self._settings.audience),
            tls=self._verification(),
            timeout_seconds=self._settings.timeout_seconds,
            limit_bytes=_MAX_ANSWER_BYTES,
        )
        if answer.status in (401, 403):
            raise ValueError(
                f"the API server answers {answer.status}; the hub's ServiceAccount must be "
                "allowed to create tokenreviews (ClusterRole system:auth-delegator)"
            )
        if answer.status not in (200, 201):
            raise ValueError(f"the API server answers {answer.status}")
        return review_verdict(answer.body, self._settings.audience)

    def _verification(self) -> ssl.SSLContext:
        """Return what trusts the API server, made anew when the file has changed."""
        found = self._settings.ca_file.stat()
        version = (found.st_mtime_ns, found.st_ino)
        if self._trust is None or self._trust[0] != version:
            context = ssl.create_default_context(cafile=self._settings.ca_file)
            self._trust = (version, context)
        return self._trust[1]

    def _keep(self, digest: bytes, verdict: _Verdict, seconds: float) -> None:
        self._known[digest] = (self._now() + seconds, verdict)
        self._known.move_to_end(digest)
        while len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)


def _stranger(account: Account) -> NotGood:
    return NotGood(
        "not_allowed",
        f"the ServiceAccount {account.name} may not log in here; "
        "RADAR_AUDIT_HUB_KUBERNETES_COLLECTORS or _OPERATORS must name it",
        is_known=True,
    )


def _read(file: Path) -> str:
    """Return the token in a file. Raises OSError, ValueError if it holds none."""
    text = file.read_text(encoding="utf-8").strip()
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError(f"{file} holds no token")
    return text
