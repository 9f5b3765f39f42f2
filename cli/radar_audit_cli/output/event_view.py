"""How an event looks: its columns, and the sentence that its metadata makes.

Owns what a person sees of an event in a table. Called by query, tail and show.
Pure; reads only keys that the contract names, and shows the others as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radar_audit_events.csv_columns import CSV_COLUMNS

from radar_audit_cli.text import cell_text
from radar_audit_cli.times import duration, shown_time, zone_name

from .fields import only, read_fields, value_at
from .views import Column, Item, View, key_column

EVENT_FIELDS = (
    "id",
    "org_id",
    "actor_user_id",
    "actor_email",
    "action",
    "target_type",
    "target_id",
    "metadata",
    "created_at",
    "seq",
    "recorded_at",
)
# These metadata keys are already part of what the TARGET column says.
_IN_TARGET = frozenset(
    {"cluster_id", "cluster_name", "namespace", "pod", "container", "session_id", "name"}
)
_TIME_KEYS = frozenset({"created_at", "recorded_at"})


def event_view(
    *,
    utc: bool,
    fields: str | None = None,
    recorded: bool = False,
    single: bool = False,
    endless: bool = False,
) -> View:
    """Return the view of events; `fields` is the text of `--fields`.

    `recorded` adds when the hub stored an event to the wide table. Raises ArgumentError.
    """
    if fields is not None:
        names = read_fields(fields, EVENT_FIELDS, ("metadata",))
        return _view_of(names, single=single, endless=endless)
    zone = zone_name(utc=utc)

    def time_column(title: str, key: str, *, fine: bool) -> Column:
        return Column(
            f"{title} ({zone})",
            lambda event: _time(event.get(key), utc=utc, fine=fine),
            least_cells=19,
            style=lambda _: "dim",
        )

    action = Column("ACTION", _action, least_cells=16, weight=4, style=_action_style)
    actor = Column("ACTOR", actor_text, least_cells=12, weight=2)
    target = Column("TARGET", target_text, least_cells=14, weight=3)
    details = Column("DETAILS", details_text, style=lambda _: "dim")
    return View(
        columns=(time_column("TIME", "created_at", fine=False), actor, action, target, details),
        wide=(
            time_column("TIME", "created_at", fine=True),
            *([time_column("RECORDED", "recorded_at", fine=True)] if recorded else []),
            actor,
            action,
            target,
            key_column("target_id"),
            details,
            key_column("seq", least_cells=4),
            key_column("id"),
        ),
        csv=tuple(_csv_column(key) for key in CSV_COLUMNS),
        name=lambda event: event.get("id"),
        single=single,
        endless=endless,
    )


def _view_of(names: tuple[str, ...], *, single: bool, endless: bool) -> View:
    columns = tuple(_field_column(name) for name in names)
    return View(
        columns=columns,
        name=lambda event: value_at(event, names[0]),
        document=lambda event: only(event, names),
        single=single,
        endless=endless,
    )


def _field_column(name: str) -> Column:
    return Column(name, lambda event: value_at(event, name))


def _csv_column(key: str) -> Column:
    if key == "via_pat":
        return Column(key, lambda event: value_at(event, "metadata.via_pat"))
    return key_column(key, key)


def _time(value: Any, *, utc: bool, fine: bool) -> str:
    return shown_time(value, utc=utc, fine=fine) if isinstance(value, str) else cell_text(value)


def _action(event: Item) -> Any:
    return event.get("action")


def _action_style(event: Item) -> str:
    return "bold red" if str(event.get("action")).endswith("_denied") else "cyan"


def _metadata(event: Item) -> Mapping[str, Any]:
    metadata = event.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def actor_text(event: Item) -> str:
    """Return who did it: the e-mail, else the user's id, else nothing (the system)."""
    return cell_text(event.get("actor_email") or event.get("actor_user_id"))


def target_text(event: Item) -> str:
    """Return what it was done to, by name where the metadata has one."""
    metadata = _metadata(event)
    cluster = metadata.get("cluster_name") or metadata.get("cluster_id")
    place = [cluster, metadata.get("namespace"), metadata.get("pod")]
    container = f":{cell_text(metadata['container'])}" if metadata.get("container") else ""
    if event.get("target_type") == "pod" and all(place):
        return "/".join(cell_text(part) for part in place) + container
    if event.get("target_type") == "cluster" and place[1] and place[2]:
        # A denied terminal: the target is the cluster, and the pod says which terminal. It comes
        # first, because a cluster that has only its long id may be cut off.
        inside = "/".join(cell_text(part) for part in place[1:]) + container
        return f"{inside} in {cell_text(cluster or event.get('target_id'))}"
    return cell_text(metadata.get("name") or metadata.get("cluster_name") or event.get("target_id"))


def details_text(event: Item) -> str:
    """Return the metadata that no other column shows, as `key=value` words.

    A duration stands without its key, so that it is seen in a narrow column.
    """
    words: list[str] = []
    for key, value in _metadata(event).items():
        if key in _IN_TARGET or value is None:
            continue
        if key == "duration_ms" and isinstance(value, int):
            words.insert(0, duration(value))
        else:
            words.append(f"{key}={cell_text(value)}")
    return " ".join(words)


def pairs_of(event: Item, *, utc: bool) -> list[dict[str, Any]]:
    """Return an event as rows of `field` and `value` for people, metadata below the rest."""
    rows = []
    for key, value in event.items():
        if key == "metadata" or value is None:
            continue
        shown = _time(value, utc=utc, fine=True) if key in _TIME_KEYS else value
        rows.append({"field": key, "value": shown})
    rows += [{"field": f"metadata.{key}", "value": v} for key, v in _metadata(event).items()]
    return rows
