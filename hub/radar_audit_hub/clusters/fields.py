"""What people may say of a cluster: its id, name, environment, labels, an agent's version. Pure.

Owns the bodies of the cluster routes and their bounds. Called by `handlers.py`. Never touches
the store: whether a name or an id is taken is found there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from radar_audit_events.errors import FieldError
from radar_audit_events.ids import is_opaque_id

from radar_audit_hub.errors import InvalidBodyError
from radar_audit_hub.names import NAME_TEXT, is_name
from radar_audit_hub.store.control import Cluster

MAX_LABELS = 32
MAX_LABEL_CHARS = 128  # old and new labels of a change must fit into one event's metadata
_WORD = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_WORD_TEXT = "must be 1 to 63 letters, digits, '-', '_' and '.', such as production"
# Kubernetes' own form of a label: an optional DNS name and a slash before the name.
_LABEL = re.compile(
    r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z"
)
_VERSION = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")


class NewCluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a new cluster; without an `id` one is made."""

    name: str
    environment: str
    labels: dict[str, str] = {}
    id: str | None = None


class ClusterPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a change; what is left out stays, labels are replaced as a whole."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    environment: str | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class UpgradeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to upgrade a cluster's agents."""

    version: str


def check_new(asked: NewCluster) -> None:
    """Refuse a new cluster that is not well-formed. Raises InvalidBodyError naming each field."""
    errors = _errors(asked.name, asked.environment, asked.labels)
    if asked.id is not None and not is_opaque_id("cl", asked.id):
        form = "must be cl_ and 1 to 60 letters, digits or underscores"
        errors.append(FieldError("id", form))
    if errors:
        raise InvalidBodyError(errors)


def patched(before: Cluster, asked: ClusterPatch) -> Cluster:
    """Return a cluster as a change would have it. Raises InvalidBodyError naming each field."""
    given = msgspec.structs.asdict(asked)
    set_fields = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    if not set_fields:
        raise InvalidBodyError([FieldError("body", "must hold name, environment or labels")])
    after = dataclasses.replace(before, **set_fields)
    if errors := _errors(after.name, after.environment, after.labels):
        raise InvalidBodyError(errors)
    return after


def differences(before: Cluster, after: Cluster) -> dict[str, list[Any]]:
    """Return `{field: [old, new]}` of what differs; empty if nothing does."""
    pairs: dict[str, list[Any]] = {
        "name": [before.name, after.name],
        "environment": [before.environment, after.environment],
        "labels": [dict(before.labels), dict(after.labels)],
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def check_upgrade(asked: UpgradeRequest) -> None:
    """Refuse a version that is none. Raises InvalidBodyError."""
    if not _VERSION.match(asked.version):
        form = "must be a version of 1 to 64 letters, digits and . _ + -, such as 0.2.0"
        raise InvalidBodyError([FieldError("version", form)])


def _errors(name: str, environment: str, labels: Mapping[str, str]) -> list[FieldError]:
    errors = [] if is_name(name) else [FieldError("name", NAME_TEXT)]
    if not _WORD.match(environment):
        errors.append(FieldError("environment", _WORD_TEXT))
    if len(labels) > MAX_LABELS:
        errors.append(FieldError("labels", f"must hold at most {MAX_LABELS} labels"))
    elif not all(len(label) <= MAX_LABEL_CHARS and _LABEL.match(label) for label in labels):
        form = f"each name must be a Kubernetes label's of at most {MAX_LABEL_CHARS} characters"
        errors.append(FieldError("labels", form))
    elif not all(value == "" or _WORD.match(value) for value in labels.values()):
        form = "each value must be empty, or 1 to 63 letters, digits, '-', '_' and '.'"
        errors.append(FieldError("labels", form))
    return errors
