"""Putting our entries into the values of someone's Radar, and taking them out again.

Owns what counts as ours, what as the same, and what as a conflict. Called by
`command`. Pure: values in, new values out; neither is changed. Never drops or
reorders an entry of the user's, and never guesses: what it does not understand
it refuses with a sentence.

Helm replaces lists, it never merges them. So the four lists must hold both the
user's entries and ours.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from radar_audit_collector.errors import CollectorError

from .block import (
    GATEWAY_HOST,
    GATEWAY_PORT,
    HOST_VARIABLE,
    LISTS,
    PORT_VARIABLE,
    SIDECAR,
    VOLUMES,
)

Entry = Mapping[str, Any]
_ENV = {HOST_VARIABLE: GATEWAY_HOST, PORT_VARIABLE: GATEWAY_PORT}


class ValuesError(CollectorError):
    """The values are of a shape that cannot be merged, or hold something in our place."""


def merged(
    values: Mapping[str, Any], block: Mapping[str, Sequence[Entry]], *, replace: bool = False
) -> dict[str, Any]:
    """Return `values` with the entries of `block` at the end of its lists.

    An entry that is there already is left where it is. One of ours that differs
    (from an older version, say) is refused, or with `replace` gives way, in place.
    Raises ValuesError.
    """
    result = dict(values)
    for name in LISTS:
        result[name] = _merged_list(name, _entries(values, name), block[name], replace=replace)
    return result


def without(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` without our entries; a list that held nothing else goes, too.

    Raises ValuesError.
    """
    result = dict(values)
    for name in LISTS:
        entries = _entries(values, name)
        theirs = [entry for entry in entries if not _is_ours(name, entry)]
        if len(theirs) == len(entries):
            continue
        if theirs:
            result[name] = theirs
        else:
            del result[name]
    return result


def has_ours(values: Mapping[str, Any]) -> bool:
    """Tell whether any entry of ours is in `values`. Raises ValuesError."""
    return any(_is_ours(name, entry) for name in LISTS for entry in _entries(values, name))


def _entries(values: Mapping[str, Any], name: str) -> list[Entry]:
    entries = values.get(name)
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise ValuesError(f"{name} is no list; Radar's chart takes a list of entries with a name")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ValuesError(
                f"entry {number} of {name} has no name that is a text; each must be a mapping "
                "with one"
            )
        if name == "extraVolumeMounts" and not isinstance(entry.get("mountPath"), str):
            raise ValuesError(
                f"entry {number} of {name} ({entry['name']}) has no mountPath that is a text; "
                "each must say where it is mounted"
            )
    return entries


def _merged_list(
    name: str, theirs: Sequence[Entry], ours: Sequence[Entry], *, replace: bool
) -> list[Entry]:
    wanted = {_place(name, entry): entry for entry in ours}
    kept: list[Entry] = []
    for entry in theirs:
        place = _place(name, entry)
        if not _is_ours(name, entry):
            if place in wanted:
                raise ValuesError(_taken(name, entry))
            kept.append(entry)
        elif entry == wanted.get(place):
            kept.append(wanted.pop(place))
        elif not replace:
            raise ValuesError(
                f"{name} already has our entry {place}, but a different one; say --replace to "
                "put the new one in its place, or take it out with --remove"
            )
        elif place in wanted:
            kept.append(wanted.pop(place))
    return [*kept, *wanted.values()]


def _place(name: str, entry: Entry) -> str:
    """Return what can be there only once: the path of a mount, the name of all else."""
    if name != "extraVolumeMounts":
        return str(entry["name"])
    return posixpath.normpath(str(entry["mountPath"]))


def _is_ours(name: str, entry: Entry) -> bool:
    if name == "env":
        return entry["name"] in _ENV and entry.get("value") == _ENV[entry["name"]]
    return bool(entry["name"] == SIDECAR if name == "initContainers" else entry["name"] in VOLUMES)


def _taken(name: str, entry: Entry) -> str:
    if name == "env":
        return (
            f"env sets {entry['name']} to something else; Radar reaches the gateway only with "
            f"{_ENV[entry['name']]} (as a text), so take that entry out first"
        )
    return (
        f"extraVolumeMounts has {entry['name']} at {entry['mountPath']}, where the gateway's "
        "folder must be; mount it elsewhere"
    )


def doubts(values: Mapping[str, Any], service_account: str) -> list[str]:
    """Return one sentence for each value that would leave terminals unrecorded.

    `service_account` is what the gateway takes for Radar's (namespace/name).
    """
    found = []
    rbac = values.get("rbac")
    if not isinstance(rbac, dict) or rbac.get("podExec") is not True:
        found.append(
            "rbac.podExec is not true in these values, so Radar may open no terminal by itself, "
            "and there is nothing to record; --pod-exec sets it"
        )
    if any(entry["name"] == "KUBECONFIG" for entry in _entries(values, "env")):
        found.append(
            "env sets KUBECONFIG, with which Radar passes the gateway by; it must use the "
            "account of its pod"
        )
    context = values.get("podSecurityContext")
    if isinstance(context, dict) and context.get("fsGroup") is None:
        found.append(
            "podSecurityContext has no fsGroup; with fsGroup: 65532 the gateway can surely write "
            "its volumes"
        )
    account = values.get("serviceAccount")
    name = account.get("name") if isinstance(account, dict) else None
    if name and name != service_account.partition("/")[2]:
        found.append(
            f"serviceAccount.name is {name}, but the gateway takes {service_account} for Radar's; "
            "say --service-account NAMESPACE/NAME"
        )
    return found
