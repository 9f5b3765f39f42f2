"""Settings of a hub inside a cluster: logging in by ServiceAccount, and the first org.

Owns two groups, which `settings.py` holds as `kubernetes` and `bootstrap`. Read by the start of
the server and by authentication. Never reads the environment, and holds no secret: the hub's own
token is read from its file when it is needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from radar_audit_runtime.settings import setting

_PREFIX = "RADAR_AUDIT_HUB_KUBERNETES_"
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ACCOUNT = re.compile(r"[a-z0-9][-a-z0-9]{0,62}/[a-z0-9][-a-z0-9.]{0,252}\Z")


@dataclass(frozen=True, kw_only=True)
class KubernetesSettings:
    """Who of the hub's own cluster may log in with the token of a ServiceAccount."""

    login: bool = setting(
        False,
        help="Whether collectors and operators of the hub's own cluster may log in with the token "
        "of their ServiceAccount, which the API server then checks (TokenReview).",
    )
    audience: str = setting(
        "radar-audit-hub", help="Audience that such a token must be made for, and no other one."
    )
    collectors: tuple[str, ...] = setting(
        (), help="ServiceAccounts of collectors, as namespace/name: they may ingest and report."
    )
    operators: tuple[str, ...] = setting(
        (), help="ServiceAccounts of operators: they may also write audit settings."
    )
    api_url: str = setting(
        "https://kubernetes.default.svc", help="Address of the API server that checks tokens."
    )
    ca_file: Path = setting(
        _POD / "ca.crt", help="Certificates (PEM) that vouch for it; read again when they change."
    )
    token_file: Path = setting(
        _POD / "token",
        help="The hub's own ServiceAccount token, which may create TokenReviews; read each time.",
    )
    timeout_seconds: float = setting(
        5.0,
        unit="seconds",
        minimum=0.1,
        maximum=30,
        help="How long a check may take before the caller is asked to try again.",
    )

    def __post_init__(self) -> None:
        """Refuse accounts and addresses of another form. Raises ValueError."""
        for name in ("collectors", "operators"):
            for account in getattr(self, name):
                if not _ACCOUNT.match(account):
                    raise ValueError(
                        f"{_PREFIX}{name.upper()} has {account!r}; a ServiceAccount is written "
                        "namespace/name, such as radar/radar"
                    )
        both = set(self.collectors) & set(self.operators)
        if both:
            raise ValueError(
                f"{_PREFIX}COLLECTORS and _OPERATORS both have {min(both)}; name it in one of them"
            )
        parts = urlsplit(self.api_url)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.query:
            raise ValueError(f"{_PREFIX}API_URL must be an address that begins with https://")
        if self.login and not self.audience:
            raise ValueError(f"{_PREFIX}AUDIENCE is empty; tokens must be made for the hub alone")
        if self.login and not (self.collectors or self.operators):
            raise ValueError(
                f"{_PREFIX}LOGIN is on, but {_PREFIX}COLLECTORS and _OPERATORS name nobody"
            )


@dataclass(frozen=True, kw_only=True)
class BootstrapSettings:
    """The org that a hub makes by itself when it finds none; without an owner it makes none."""

    owner_email: str | None = setting(
        None,
        help="E-mail of the owner of the first org, which is made at the start if there is no org "
        "at all; nothing: none is made.",
    )
    org_name: str = setting("My organization", help="Its name.")
    org_id: str | None = setting(None, help="Its id (org_...); nothing: a new one.")
    plan: Literal["free", "team", "enterprise"] = setting("enterprise", help="Its plan.")
    cluster_name: str = setting("default", help="The name of its cluster.")
    cluster_id: str | None = setting(
        None,
        help="The id of its cluster (cl_...), nothing: a new one. Also names the cluster that "
        "ServiceAccounts log in to, where the hub has several.",
    )
