"""Where a test cluster's API server sends its audit events, and how it is told.

Made by `__main__` or by a test, taken by the providers that own their API server. The token is
only ever written into a file that its owner alone can read.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.certificates import write_kubeconfig


@dataclass(frozen=True)
class AuditWebhook:
    """A sink: its URL as the API server reaches it, its certificate's authority (PEM), a token.

    Batches go out after `max_wait_seconds`, or when they hold `max_size` events.
    """

    url: str
    authority: bytes | None = None
    token: str | None = field(default=None, repr=False)
    max_wait_seconds: float = 1.0
    max_size: int = 100

    def write(self, target: Path) -> None:
        """Write the kubeconfig that the API server wants to `target`."""
        cluster: dict[str, Any] = {"server": self.url}
        if self.authority is not None:
            cluster["certificate-authority-data"] = base64.b64encode(self.authority).decode()
        write_kubeconfig(target, cluster, {} if self.token is None else {"token": self.token})

    def flags(self, kubeconfig: Path | str) -> dict[str, str]:
        """Return the API server's flags; `kubeconfig` is what `write` wrote, as it sees it."""
        return {
            "audit-webhook-config-file": str(kubeconfig),
            "audit-webhook-batch-max-wait": f"{self.max_wait_seconds}s",
            "audit-webhook-batch-max-size": str(self.max_size),
        }
