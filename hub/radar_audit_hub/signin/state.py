"""What the sign-in features share while the hub runs: the provider and the limits on trying.

Owns `Signin` and the application key under which handlers find it; `app.py` makes one at
start-up. Each replica has its own: a limit holds for what reaches that replica.
"""

from __future__ import annotations

import importlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from radar_audit_hub.auth.limiter import FailureLimiter
from radar_audit_hub.context import Hub
from radar_audit_hub.outbound import trusting

if TYPE_CHECKING:
    from .provider import Provider


@dataclass(frozen=True)
class Signin:
    """`starts` counts sign-ins begun by an address, `ends` those completed by a person.

    `provider` is None where no OpenID provider is set, `workos_tls` to trust as the system does.
    """

    provider: Provider | None
    workos_tls: ssl.SSLContext | None
    starts: FailureLimiter
    ends: FailureLimiter

    @classmethod
    def create(cls, hub: Hub) -> Signin:
        """Make the parts; nothing is fetched. Raises OSError for a ca_file that is none."""
        per_minute = hub.settings.session.starts_per_minute
        provider = None
        if hub.settings.oidc.issuer is not None:
            # By its name: without a provider nobody needs the library for its keys, 2 MiB.
            module = importlib.import_module(".provider", __package__)
            provider = module.Provider(hub.settings.oidc, hub.outbound, hub.now_ms)
        return cls(
            provider=provider,
            workos_tls=trusting(hub.settings.workos.ca_file),
            starts=FailureLimiter(per_minute, "too many sign-ins from this address"),
            ends=FailureLimiter(max(1, per_minute // 2), "too many sign-ins of this person"),
        )


SIGNIN: web.AppKey[Signin] = web.AppKey("signin", Signin)
