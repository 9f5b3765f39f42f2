"""The command `radar-values`: reads a file, merges or removes, prints.

Owns what is read and printed, and the checks of the options. Called through
`options`. Never writes a file, never talks to a cluster, and prints values that
may hold secrets of the user's to standard output only.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .block import Wishes, radar_values
from .merging import ValuesError, doubts, has_ours, merged, without
from .yaml_file import MAX_BYTES, read_values, write_values

_OK = 0
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\Z")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}\Z")
_IMAGE = re.compile(r"[a-z0-9][^\s@]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})\Z")
_RESOURCE = re.compile(r"[a-z0-9][-a-z0-9./]{0,251}\Z")
_QUANTITY = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?\Z")
_HEADER = """\
# Values for Radar's own chart, with the gateway of Radar Audit in Radar's pod.
# Made by radar-audit-collector radar-values: change its options, not these entries.
"""


def run(options: argparse.Namespace) -> int:
    """Print the values that `options` ask for and return 0. Raises ValuesError, OSError."""
    wishes = _wishes(options)
    if options.merge is None:
        if options.remove or options.replace:
            raise ValuesError(
                "--remove and --replace say what becomes of a FILE; name it by --merge"
            )
        values = _with_pod_exec(radar_values(wishes), options)
        _print(_HEADER, values)
        return _OK
    before = read_values(_read(options.merge), options.merge)
    if options.remove:
        if not has_ours(before):
            _warn("there is no entry of ours in these values; they are printed as they are")
        _print("", without(before))
        return _OK
    after = merged(before, radar_values(wishes), replace=options.replace)
    after = _with_pod_exec(after, options)
    for doubt in doubts(after, wishes.service_account):
        _warn(doubt)
    _print(_HEADER, after)
    return _OK


def _wishes(options: argparse.Namespace) -> Wishes:
    """Check the options. Raises ValuesError that names the wrong one."""
    if not _IMAGE.match(options.image):
        raise ValuesError(
            f"--image is {options.image!r}; it needs a tag or digest, such as "
            "registry.example.com/radar-audit-collector:0.1.0"
        )
    try:
        parts = urlsplit(options.hub_url)
        bare = not (parts.username or parts.password or parts.query or parts.fragment)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and bare
    except ValueError:
        usable = False
    if not usable:
        raise ValuesError(
            "--hub-url must be an address such as https://audit.example.com, without user, "
            "password or query"
        )
    namespace, slash, name = options.service_account.partition("/")
    if not slash or not _NAME.match(namespace) or not _NAME.match(name):
        raise ValuesError(
            f"--service-account is {options.service_account!r}; it must be NAMESPACE/NAME"
        )
    if options.token_secret is not None and not _NAME.match(options.token_secret):
        raise ValuesError(
            f"--token-secret is {options.token_secret!r}; it must be the name of a Secret, not "
            "the token"
            if not options.token_secret.startswith("rhc_")
            else "--token-secret has a token (not shown); it must be the name of a Secret with it"
        )
    if not _KEY.match(options.token_secret_key):
        raise ValuesError(
            f"--token-secret-key is {options.token_secret_key!r}; it must be a key of that Secret"
        )
    if not options.audience or not options.audience.isprintable():
        raise ValuesError("--audience is empty or no text; it must be the one that the hub expects")
    return Wishes(
        image=options.image,
        hub_url=options.hub_url,
        service_account=options.service_account,
        audience=options.audience,
        token_secret=options.token_secret,
        token_secret_key=options.token_secret_key,
        failure_policy=options.failure_policy,
        identity=options.identity,
        log_level=options.log_level,
        requests=_quantities("--requests", options.requests),
        limits=_quantities("--limits", options.limits),
    )


def _quantities(option: str, text: str) -> dict[str, str]:
    """Read `cpu=20m,memory=64Mi`, as kubectl takes it; `none` is none at all."""
    found: dict[str, str] = {}
    for part in () if text == "none" else text.split(","):
        resource, _, quantity = part.partition("=")
        if not _RESOURCE.match(resource) or not _QUANTITY.match(quantity) or resource in found:
            raise ValuesError(
                f"{option} is {text!r}; it must be none, or resources with their quantities, such "
                "as cpu=20m,memory=64Mi"
            )
        found[resource] = quantity
    return found


def _with_pod_exec(values: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    if not options.pod_exec:
        return values
    rbac = values.get("rbac")
    if rbac is not None and not isinstance(rbac, dict):
        raise ValuesError("rbac is no mapping; Radar's chart takes one, with podExec in it")
    return {**values, "rbac": {**(rbac or {}), "podExec": True}}


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(file).open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _print(header: str, values: dict[str, Any]) -> None:
    sys.stdout.write(header + write_values(values))


def _warn(sentence: str) -> None:
    print(f"radar-audit-collector: note: {sentence}", file=sys.stderr)  # noqa: T201 - for a person
