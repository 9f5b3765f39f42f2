"""The token to an AuditHub's hub: from its Secret, or from the file of the pod's own account.

Owns finding it and saying what is wrong with it. Called by the hub's reconcile and by `check`.
Never keeps a value: the client gets a way to read it, and a file is read at each request, since the
kubelet renews it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .cluster import Cluster
from .errors import ClusterError, HubUnreachableError
from .plan.secrets import Found, Use, judge, read_text
from .settings import PREFIX, OperatorSettings
from .specs import HubSpec

_MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HubToken:
    """What was found (a problem has a sentence), and how a request reads it.

    `read` raises HubUnreachableError while a file has no token.
    """

    found: Found
    read: Callable[[], str] = field(repr=False)


async def hub_token(
    cluster: Cluster, settings: OperatorSettings, namespace: str, spec: HubSpec
) -> HubToken:
    """Find the token of an AuditHub. Raises ClusterError but for a Secret that is not there."""
    ref = spec.token_secret_ref
    if ref is None:
        return _from_file(settings.hub_token_file)
    use = Use("", "token", ref)
    try:
        found = judge(use, await cluster.secret(namespace, ref.name))
    except ClusterError as error:
        if error.status not in {403, 404}:
            raise
        found = judge(use, None, error.status)
    value = found.value or ""
    return HubToken(found, lambda: value)


def _from_file(file: Path | None) -> HubToken:
    if file is None:
        message = (
            "the AuditHub names no tokenSecretRef, and the operator has no token of its own; name "
            f"a Secret, or set {PREFIX}HUB_TOKEN_FILE"
        )
        return HubToken(Found("none", problem="SecretMissing", message=message), _nothing)

    def read() -> str:
        try:
            return _read(file)
        except (OSError, ValueError):
            raise HubUnreachableError("the operator's own token cannot be read") from None

    try:
        # Its version is the file's name alone: a renewed token needs no new connection.
        found = Found(f"file:{file}", _read(file))
    except OSError as error:
        message = f"{PREFIX}HUB_TOKEN_FILE cannot be read: {error.strerror}"
        found = Found("none", problem="SecretMissing", message=message)
    except ValueError:
        message = f"{PREFIX}HUB_TOKEN_FILE holds no token: it must be one line of printable text"
        found = Found("none", problem="SecretInvalid", message=message)
    return HubToken(found, read)


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        text = read_text(stream.read(_MAX_FILE_BYTES))
    if text is None:
        raise ValueError("no token")
    return text


def _nothing() -> str:
    raise HubUnreachableError("there is no token")
