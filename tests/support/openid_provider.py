"""A real OpenID provider for tests: the program in `go_oidc`, over TLS, with two people.

Owns the process, its certificate and its users. Called by the tests of signing in. The first
call on a machine builds the program, which fetches its modules.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.support.go_programs import build

CLIENT_ID = "hub"
CLIENT_SECRET = "s3cret+/:% x"
PASSWORD = "verysecure"
_OLDEST_GO = "1.26.0"


@dataclass(frozen=True)
class OpenIdProvider:
    """A provider that runs: its issuer, and the file of the authority to trust it by."""

    issuer: str
    ca_file: Path

    def tls(self) -> ssl.SSLContext:
        """What a browser needs to trust it."""
        return ssl.create_default_context(cafile=str(self.ca_file))


@contextmanager
def openid_provider(folder: Path, redirect_uri: str) -> Iterator[OpenIdProvider]:
    """Run a provider that knows alice (e-mail verified) and mallory (not verified)."""
    program = build(Path(__file__).parent / "go_oidc", _OLDEST_GO)
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    paths = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    leaf.cert_chain_pems[0].write_to_path(paths["cert"])
    leaf.private_key_pem.write_to_path(paths["key"])
    users = folder / "users.json"
    users.write_text(json.dumps({u["ID"]: u for u in (_user("alice", True), _user("mallory"))}))
    files = ("-cert", paths["cert"], "-key", paths["key"], "-users", users)
    arguments = (*files, "-redirect", redirect_uri)
    process = subprocess.Popen(
        [program, *(str(word) for word in arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"CLIENT_SECRET": CLIENT_SECRET},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield OpenIdProvider(process.stdout.readline().strip(), paths["ca"])
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def _user(name: str, verified: bool = False) -> dict[str, object]:
    email = "p1@acme.com" if name == "mallory" else f"{name}@acme.com"
    return {
        "ID": f"id-{name}",
        "Username": name,
        "Password": PASSWORD,
        "FirstName": name,
        "LastName": "Test",
        "Email": email,
        "EmailVerified": verified,
        "PreferredLanguage": "en",
    }
