"""Following a log in commit order, across lost connections.

Owns the promise of `tail -f`: every matching event once, none twice, none
missed, in the order in which the hub committed them. Called by `tail`. Never
shows anything itself: it says through `notice` when a connection is lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .errors import CliError, RefusedError, UnreachableError
from .shapes import Event, Params

if TYPE_CHECKING:
    from .hub_client import HubClient

_PAGE_EVENTS = 500
_WALK_EVENTS = 1000  # contract: the largest page of `follow`
_WAIT_SECONDS = 30  # contract: the longest long poll
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_ASKED_SECONDS = 300.0  # a wrong Retry-After must not end a tail


def head(client: HubClient, params: Params) -> int:
    """Return a seq beyond which lies no event that was committed before this call.

    Starts at the newest event and walks over what was committed later with an
    older time (by a collector that was offline), so that nobody waits for a
    walk over the whole log.
    """
    reached = client.newest_seq()
    while True:
        before = reached
        for seq, _ in client.follow(params, reached, limit=_WALK_EVENTS, wait_seconds=0):
            reached = seq
        if reached <= before:
            return before


def follow(
    client: HubClient,
    params: Params,
    after_seq: int,
    *,
    notice: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Yield matching events with a seq greater than `after_seq`, for ever.

    A lost connection or a busy hub is tried again with growing pauses
    (seconds, to `sleep`) from the last event that came whole. Raises
    RefusedError where trying again cannot help (token revoked, query refused).
    """
    reached = after_seq
    failures = 0
    while True:
        # After a failure the first answer should come at once, so that we can say so.
        wait_seconds = 0 if failures else _WAIT_SECONDS
        before = reached
        asked_at = time.monotonic()
        try:
            for seq, event in client.follow(
                params, reached, limit=_PAGE_EVENTS, wait_seconds=wait_seconds
            ):
                if failures:
                    notice("connected again")
                    failures = 0
                if event is not None and seq > reached:
                    yield event
                reached = max(reached, seq)
        except (RefusedError, UnreachableError) as exc:
            if isinstance(exc, RefusedError) and not exc.is_passing:
                raise
            failures += 1
            if failures == 1:
                notice(f"{exc.message}; trying again")
            sleep(_pause_seconds(exc, failures))
        else:
            if reached == before and time.monotonic() - asked_at < _FIRST_PAUSE_SECONDS:
                sleep(_FIRST_PAUSE_SECONDS)  # a hub that does not wait must not be asked in a spin


def _pause_seconds(error: CliError, failures: int) -> float:
    doubled_seconds = _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10)
    longest_seconds = min(doubled_seconds, _LONGEST_PAUSE_SECONDS)
    asked = error.retry_after_seconds if isinstance(error, RefusedError) else None
    # Jitter, so that the tails of a whole team do not come back in the same moment.
    return max(
        longest_seconds * random.uniform(0.5, 1.0), min(asked or 0.0, _LONGEST_ASKED_SECONDS)
    )
