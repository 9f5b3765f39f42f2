"""Settings of billing: the Stripe account that plans are sold through.

Owns one group, which `settings.py` holds as `stripe`. Read by the billing feature. Never reads
the environment.
"""

from __future__ import annotations

from dataclasses import dataclass

from radar_audit_runtime.settings import setting

from .billing.plans import Prices
from .settings_signin import check_url

_PREFIX = "RADAR_AUDIT_HUB_STRIPE_"


@dataclass(frozen=True, kw_only=True)
class StripeSettings:
    """The Stripe account; without a secret key there is no billing, and plans are set by hand."""

    secret_key: str | None = setting(
        None,
        secret=True,
        help="Stripe's secret key, best a restricted one. Nothing: no billing, and plans are set "
        "by `radar-audit-hub plan`.",
    )
    webhook_secret: str | None = setting(
        None, secret=True, help="The signing secret of the webhook endpoint at Stripe."
    )
    price_team: tuple[str, ...] = setting(
        (),
        help="Stripe prices of the plan team, by cluster: the first is sold, those behind it are "
        "older ones that still pay for it.",
    )
    price_enterprise: tuple[str, ...] = setting(
        (), help="The same for the plan enterprise; nothing: it is not sold here."
    )
    url: str = setting("https://api.stripe.com", help="Where Stripe's API is.")

    def __post_init__(self) -> None:
        """Refuse half an account. Raises ValueError."""
        check_url(f"{_PREFIX}URL", self.url)
        if self.secret_key is None:
            return
        if not self.webhook_secret:
            raise ValueError(f"{_PREFIX}WEBHOOK_SECRET is needed where STRIPE_SECRET_KEY is set")
        if not self.price_team and not self.price_enterprise:
            raise ValueError(
                f"{_PREFIX}PRICE_TEAM or STRIPE_PRICE_ENTERPRISE is needed where "
                "STRIPE_SECRET_KEY is set"
            )
        if set(self.price_team) & set(self.price_enterprise):
            raise ValueError(f"{_PREFIX}PRICE_TEAM and STRIPE_PRICE_ENTERPRISE must not overlap")

    @property
    def prices(self) -> Prices:
        """The prices as the plans' rules take them."""
        return Prices(team=self.price_team, enterprise=self.price_enterprise)
