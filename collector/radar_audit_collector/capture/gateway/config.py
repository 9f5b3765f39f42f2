"""What the relay process is told when it starts, as one line of JSON.

Owns the values and their form on the wire. Called by `process` (writes it) and
`__main__` (reads it). Standard library only: it is part of the relay process.
Never holds a token or a key: those stay in files.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

LEAF_FILE = "gateway.pem"  # certificate and key in one, so that they are replaced together

FailurePolicy = Literal["open", "required"]


@dataclass(frozen=True, kw_only=True)
class RelayConfig:
    """All that the relay process needs to know.

    `upstream_server_name` is the name that the API server's certificate must have.
    `leaf_file` holds our certificate and its key, `upstream_ca_file` the cluster's
    CA. `confirm_ms` is how long a 101 waits for the journal; with the policy
    `required` it is `required_ms`. `capture` false relays everything blind.
    """

    listen_host: str
    listen_port: int
    upstream_host: str
    upstream_port: int
    upstream_server_name: str
    upstream_ca_file: str
    leaf_file: str
    failure_policy: FailurePolicy = "open"
    capture: bool = True
    close_off: bool = True
    max_connections: int = 4096
    max_opening: int = 512
    opening_seconds: float = 10.0
    confirm_ms: int = 20
    required_ms: int = 2_000
    watch_files_seconds: float = 30.0
    probe_seconds: float = 3_600.0
    drain_seconds: float = 25.0

    def encode(self) -> bytes:
        """Return the one line that `decode_config` reads."""
        return json.dumps(asdict(self)).encode() + b"\n"


def decode_config(line: bytes) -> RelayConfig:
    """Read what `encode` wrote. Raises ValueError or TypeError for anything else."""
    return RelayConfig(**json.loads(line))
