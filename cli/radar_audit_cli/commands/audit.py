"""`radar-audit audit record`: what another control plane did, written to the log.

Owns the reading of events from a file and their sending in batches. Reading
the log is `query`, `tail`, `export` and `show`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import IO, Any

import click

from radar_audit_cli.connection import Connection, connection_options
from radar_audit_cli.errors import ArgumentError, CliError
from radar_audit_cli.output.records import list_view
from radar_audit_cli.output.writers import open_writer, output_option

_MAX_FILE_BYTES = 64 * 1024 * 1024
_BATCH_EVENTS = 100  # of the largest events they still fit into one request
_KEPT = ("accepted", "duplicate")


@click.group(short_help="Record events of another control plane.")
def audit() -> None:
    """Record events that another control plane made."""


@audit.command(
    short_help="Record events from a file.",
    epilog="Example: radar-audit audit record events.ndjson",
)
@click.argument("file", type=click.File("rb"), default="-")
@output_option
@connection_options
def record(*, file: IO[bytes], form: str, connection: Connection) -> None:
    """Record the events in FILE (-: standard input): one JSON object, a list, or one a line.

    Each has a key, an action, a target_id, created_at and, where they are
    known, actor and metadata. Needs a token of an owner with the scope
    audit:write. What the hub has already is a duplicate and no error, so a file
    can be sent again as it is.
    """
    connection.require_stdin_free(file)
    events = _read(file)
    client = connection.client()
    view = list_view(("event", "result", "id", "code", "message"), utc=True)
    writer = None
    refused = 0
    for start in range(0, len(events), _BATCH_EVENTS):
        batch = events[start : start + _BATCH_EVENTS]
        answer = client.change("POST", client.in_org("audit", "events"), {"events": batch})
        results = answer.get("results")
        if not isinstance(results, list) or len(results) != len(batch):
            raise CliError("the hub did not answer with one result for each event")
        rows = [{"event": start + n, **result} for n, result in enumerate(results, 1)]
        refused += sum(row.get("result") not in _KEPT for row in rows)
        writer = writer or open_writer(form, view)
        writer.write(rows)
    if writer is not None:
        writer.close()
    if refused:
        raise CliError(f"{refused} of {len(events)} events were not recorded; the list says why")


def _read(file: IO[bytes]) -> list[dict[str, Any]]:
    name = "standard input" if file is sys.stdin.buffer else file.name
    raw = file.read(_MAX_FILE_BYTES + 1)
    if len(raw) > _MAX_FILE_BYTES:
        raise ArgumentError(f"{name} is longer than {_MAX_FILE_BYTES} bytes: split it")
    try:
        found: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return _lines(raw.splitlines(), name)
    events = found if isinstance(found, list) else [found]
    if not events or not all(isinstance(event, dict) for event in events):
        raise ArgumentError(f"{name} holds no events: write a JSON object for each")
    return events


def _lines(lines: Sequence[bytes], name: str) -> list[dict[str, Any]]:
    events = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise ArgumentError(f"line {number} of {name} is no JSON") from exc
        if not isinstance(event, dict):
            raise ArgumentError(f"line {number} of {name} is no JSON object")
        events.append(event)
    if not events:
        raise ArgumentError(f"{name} holds no events: write a JSON object for each")
    return events
