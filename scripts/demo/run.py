"""`make run`: a hub and a collector on this machine, and a recorded audit log that goes by.

Owns the order of start and stop, the folder `data/` and what is printed. It starts the parts as
their own programs, as an operator would, and ends them by their pids. Never changes the recorded
log, and never deletes what an earlier start has stored.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from parts import Hub, Parts, PartsError, Place, create_org, free_address
from replay import Step, ids_of_replay, steps

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).with_name("audit-log.jsonl")
# The first request of the recording that becomes a row; the replay begins with it.
FIRST_ROW = "9ab2aa80-03ee-4a19-adef-e01fdd0f4183"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_SECONDS = 0.1
_ASK_SECONDS = 0.3
_FIRST_ROW_SECONDS = 60.0


class StoppedError(Exception):
    """Somebody asked to stop: Ctrl-C, SIGTERM or a closed terminal."""


def main() -> int:
    """Return 0 after Ctrl-C, 1 after an error that was shown."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--audit-log", type=Path, help="follow this log instead of the recorded one"
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder of what is stored")
    arguments = parser.parse_args()
    for number in _SIGNALS:
        signal.signal(number, _stop)
    parts = Parts()
    try:
        with _only_one(arguments.data):
            _run(parts, Place(arguments.data.resolve()), arguments.audit_log)
    except StoppedError:
        print("\nStopping. What is stored stays in the data folder.", flush=True)
    except (PartsError, OSError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    finally:
        _ignore_signals()
        parts.stop()
    return 0


def _run(parts: Parts, place: Place, audit_log: Path | None) -> None:
    if audit_log is not None and not (audit_log.is_file() and os.access(audit_log, os.R_OK)):
        raise PartsError(f"AUDIT_LOG is {audit_log}, which is no file that can be read")
    followed = audit_log.resolve() if audit_log else place.replayed_log
    org = create_org(place)
    hub = Hub(org, free_address(8080))
    parts.start_hub(place, hub)
    parts.start_collector(place, hub, followed)
    begin = datetime.now(UTC)
    pending: Iterator[Step] = iter(())
    if audit_log is None:
        number = place.next_replay()
        lines = RECORDED.read_text(encoding="utf-8").splitlines()
        pending = iter(steps(lines, begin, FIRST_ROW, ids_of_replay(number, place.namespace)))
        print(f"Replaying {RECORDED.name} (replay {number}) to {followed}", flush=True)
    else:
        print(f"Following {followed}", flush=True)
    with followed.open("a" if audit_log is None else "r", encoding="utf-8") as log:
        shown = audit_log is not None
        if shown:
            _show(parts, place, hub)
        step, ask_at = next(pending, None), time.monotonic()
        while True:
            parts.check()
            while step is not None and step.at <= datetime.now(UTC):
                log.write(step.line + "\n")
                log.flush()
                step = next(pending, None)
                if step is None:
                    print("The recorded log is over; hub and collector go on.", flush=True)
            if not shown and time.monotonic() >= ask_at:
                ask_at = time.monotonic() + _ASK_SECONDS
                shown = hub.has_row_since(begin) or _is_late(begin)
                if shown:
                    _show(parts, place, hub)
            time.sleep(_TICK_SECONDS)


def _is_late(begin: datetime) -> bool:
    late = datetime.now(UTC) - begin > timedelta(seconds=_FIRST_ROW_SECONDS)
    if late:
        print("No row yet; see hub.log and collector.log in the data folder.", flush=True)
    return late


def _show(parts: Parts, place: Place, hub: Hub) -> None:
    """Print how to ask, then let `radar-audit tail` print each row as it comes."""
    programs = os.path.relpath(Path(sys.executable).parent)
    rows = f"{hub.url}/api/orgs/{hub.org.org_id}/audit"
    print(
        f"""
The hub answers on  {hub.url}
Your token (PAT)    {hub.org.pat}

Ask in another terminal:

  export RADAR_AUDIT_URL={hub.url} RADAR_AUDIT_ORG={hub.org.org_id} RADAR_AUDIT_TOKEN={hub.org.pat}
  {programs}/radar-audit query
  {programs}/radar-audit query 'action:pod.exec_started'
  curl -s -H "Authorization: Bearer {hub.org.pat}" '{rows}?range=24h'

Or look in a browser: open the address that this prints; it signs you in once.

  export RADAR_AUDIT_HUB_PUBLIC_URL={hub.url} RADAR_AUDIT_HUB_DATABASE_URL={place.database_url}
  {programs}/radar-audit-hub signin-link --email you@example.com

Rows as they come (Ctrl-C ends everything):
""",
        flush=True,
    )
    parts.start_tail(hub)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the data folder: two collectors on one spool would undo each other's work."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PartsError(f"another `make run` uses {folder}; end it first") from None
        yield


def _stop(_number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    raise StoppedError


def _ignore_signals() -> None:
    """Let nothing interrupt the end of the children: one would stay behind."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
