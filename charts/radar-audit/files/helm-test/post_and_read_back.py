"""Posts a synthetic terminal to the hub and reads it back: what `helm test` runs in a pod.

Owns one start and one end of a terminal in a pod that is called after the test. Told by variables:
HUB_URL, TOKEN_FILE, POD, NAMESPACE, and with READER_TOKEN_FILE also ORG_ID. The same batch is
posted twice: the hub calls the second one duplicates only if it has read the first from its store.
With a reader's token the log itself is asked. Needs Python's standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TRIES = 30
PAUSE_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0
LONGEST_ANSWER_BYTES = 1 << 20


class TestFailedError(Exception):
    """The hub did not do what it must; the message says what."""

    __test__ = False


def main() -> int:
    """Run the test; 0 when it passes, else 1 and a sentence on standard error."""
    try:
        body = batch(int(time.time()))
        first, again = post(body), post(body)
        ids = [each["id"] for each in first]
        if [each["result"] for each in again] != ["duplicate", "duplicate"]:
            raise TestFailedError(f"the hub did not know the events again: {again}")
        if [each["id"] for each in again] != ids:
            raise TestFailedError("the hub knew the events by other ids than it gave them")
        print(f"posted and read back: {', '.join(ids)}")
        if os.environ.get("READER_TOKEN_FILE"):
            look_up(body["batch_id"], ids)
            print("found in the log")
    except TestFailedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def batch(now_seconds: int) -> dict[str, Any]:
    """Return one terminal of this pod, half a second long."""
    session = f"{os.environ['POD']}-{now_seconds}"[-64:]
    pod = {"namespace": os.environ["NAMESPACE"], "pod": os.environ["POD"]}
    end = {"duration_ms": 500, "end_reason": "client_closed", "observed": True}
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_seconds))
    started = {"action": "pod.exec_started", "metadata": pod, "created_at": f"{now}.000Z"}
    ended = {"action": "pod.exec_ended", "metadata": pod | end, "created_at": f"{now}.500Z"}
    events = [each | {"session_id": session} for each in (started, ended)]
    return {"collector_id": "helm-test", "batch_id": session, "events": events}


def post(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Post a batch and return its results. Raises TestFailedError."""
    answer = ask("/api/ingest/events", os.environ["TOKEN_FILE"], body)
    results: list[dict[str, Any]] = answer["results"]
    if any(each["result"] not in {"accepted", "duplicate"} for each in results):
        raise TestFailedError(f"the hub refused an event: {results}")
    return results


def look_up(session: str, ids: list[str]) -> None:
    """Find the events in the log by the reader's token. Raises TestFailedError."""
    path = f"/api/orgs/{os.environ['ORG_ID']}/audit?q=session:{session}"
    answer = ask(path, os.environ["READER_TOKEN_FILE"], None)
    missing = set(ids) - {each["id"] for each in answer["events"]}
    if missing:
        raise TestFailedError(f"the log does not hold {', '.join(sorted(missing))}")


def ask(path: str, token_file: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """Return the hub's answer; one that is not there yet is asked again. Raises TestFailedError."""
    url = os.environ["HUB_URL"].rstrip("/") + path
    token = Path(token_file).read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        request = urllib.request.Request(url, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read(LONGEST_ANSWER_BYTES))
                return found
        except urllib.error.HTTPError as error:
            problem = f"{error.code} {error.read(2000).decode(errors='replace')}"
            if error.code < 500 and error.code != 429:
                break
        except OSError as error:
            problem = str(error)
    raise TestFailedError(f"{url} answers: {problem}")


if __name__ == "__main__":
    sys.exit(main())
