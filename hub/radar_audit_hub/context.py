"""What every handler and job is given: the open database, settings, clock, metrics, bounds.

Owns `Hub` and the application key under which handlers find it. `app.py` makes one
at start-up, tests make one with a clock of their own. Never does work itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property

from aiohttp import web

from .audit.follow import LogSignal
from .auth.kubernetes_login import KubernetesLogin
from .auth.last_used import LastUsed
from .auth.limiter import FailureLimiter
from .metrics import Metrics
from .notify.deliveries import Deliveries
from .notify.guard import MAX_TESTS
from .notify.mail_budget import MailBudget
from .outbound import Outbound
from .sealing import Sealer, key_beside, read_key
from .settings import HubSettings
from .slots import Slots
from .store import query
from .store.database import Database
from .turns import Turns

# Pages of the log that are made and sent for one org, and for one person in it: up to 16 MiB each.
PAGES_AT_ONCE, OWN_PAGES_AT_ONCE = 6, 2
# Reports of clusters that are written for one org; those of one cluster are one by one.
REPORTS_AT_ONCE, MAX_REPORTS_WAITING = 2, 1000
# Invitations that one person sends in a day, over all orgs, those too that are deleted since.
INVITED_A_DAY, INVITED_A_DAY_TO_ONE = 2000, 20


@dataclass(frozen=True)
class Hub:
    """The parts that all features share.

    `now_ms` is the clock in Unix milliseconds; `random_bytes(n)` a source of secrets;
    `signal.notify(org_id)` must be called after every commit that appended events, and
    `deliveries.wake()` after every one that put notifications.
    """

    db: Database
    settings: HubSettings
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    metrics: Metrics
    signal: LogSignal
    exports: Slots
    followers: Slots
    auth_failures: FailureLimiter
    last_used: LastUsed
    outbound: Outbound
    deliveries: Deliveries
    destination_tests: Slots
    turns: Turns
    pages: Turns
    own_pages: Turns
    reports: Turns
    own_reports: Turns
    invited: MailBudget
    invited_to_one: MailBudget

    def own_turn(self, user_id: str) -> AbstractAsyncContextManager[None]:
        """Wait for a person's turn at what they write outside of any org, and hold it.

        Raises TooManyRequestsError.
        """
        return self.turns.take(f"person/{user_id}")

    @cached_property
    def sealer(self) -> Sealer | None:
        """What keeps secrets at rest; None where there is no key. Raises SealError, OSError."""
        given, folder = self.settings.secrets_key, self.settings.secrets_folder()
        if given is not None:
            return Sealer(read_key(given), self.random_bytes)
        return (
            None
            if folder is None
            else Sealer(key_beside(folder, self.random_bytes), self.random_bytes)
        )

    @cached_property
    def kubernetes_login(self) -> KubernetesLogin | None:
        """What checks the tokens of ServiceAccounts; None where none may log in."""
        wanted = self.settings.kubernetes
        return KubernetesLogin(wanted, self.outbound, self.metrics) if wanted.login else None

    @classmethod
    def create(
        cls,
        db: Database,
        settings: HubSettings,
        *,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
    ) -> Hub:
        """Make a hub's parts over an open database; nothing runs yet."""
        metrics = Metrics()
        return cls(
            db=db,
            settings=settings,
            now_ms=now_ms,
            random_bytes=random_bytes,
            metrics=metrics,
            signal=LogSignal(lambda org_id: query.next_seq(db, org_id)),
            exports=Slots(
                min(settings.max_exports, db.max_long_reads), "exports", metrics.exports_running
            ),
            followers=Slots(settings.max_followers, "followers", metrics.followers),
            auth_failures=FailureLimiter(settings.failed_auth_per_minute),
            last_used=LastUsed(),
            outbound=Outbound(),
            deliveries=Deliveries(settings.notify),
            destination_tests=Slots(MAX_TESTS, "tests of destinations"),
            turns=Turns(),
            pages=Turns(PAGES_AT_ONCE, settings.max_followers),
            own_pages=Turns(OWN_PAGES_AT_ONCE, settings.max_followers),
            reports=Turns(REPORTS_AT_ONCE, MAX_REPORTS_WAITING),
            own_reports=Turns(),
            invited=MailBudget(INVITED_A_DAY),
            invited_to_one=MailBudget(INVITED_A_DAY_TO_ONE),
        )


HUB: web.AppKey[Hub] = web.AppKey("hub", Hub)
