"""Named, guarded background tasks, the life of a process, and its hardening.

Owns `Tasks`, `run_until_signal` and `harden_process`; each part's `app.py` and `main.py` use
them. Never lets a task end unnoticed, and never waits for a drain longer than it was told.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine

_logger = logging.getLogger(__name__)
_FIRST = asyncio.FIRST_COMPLETED
Work = Callable[[], Coroutine[object, object, None]]


class Tasks:
    """Tasks that should never end; one that does is logged at once and `failed` names it."""

    def __init__(self) -> None:
        """Hold no task yet."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failed: list[str] = []

    def start(self, name: str, work: Work, restarts: int = 0, pause_seconds: float = 1.0) -> None:
        """Run `work()` as a task, again after its end at most `restarts` times, with a pause."""
        guarded = self._guard(name, work, restarts, pause_seconds)
        self._running[name] = asyncio.create_task(guarded, name=name)

    def failed(self) -> tuple[str, ...]:
        """Return the names of the tasks that ended for good although nobody stopped them."""
        return tuple(self._failed)

    def healthy(self) -> bool:
        """Return whether every task runs: a check for `Probes`."""
        return not self._failed

    async def stop(self) -> None:
        """Cancel the tasks, the last started first, each awaited before the next."""
        while self._running:
            _, task = self._running.popitem()
            task.cancel()
            await asyncio.wait([task])

    async def _guard(self, name: str, work: Work, restarts: int, pause_seconds: float) -> None:
        for left in range(restarts, -1, -1):
            error: Exception | None = None
            try:
                await work()
            except Exception as caught:  # the guard is the one place that must see every failure
                error = caught
            _logger.error(
                "task ended unexpectedly", exc_info=error, extra={"task": name, "restarts": left}
            )
            if left:
                await asyncio.sleep(pause_seconds)
        self._failed.append(name)


def run_until_signal(
    main: Callable[[], Coroutine[object, object, None]],
    drain: Callable[[], Awaitable[None]],
    drain_seconds: float,
) -> int:
    """Run `main()` until it ends or SIGTERM or SIGINT comes, then `drain()`; return the exit code.

    `drain` stops what `main` started, in reverse, while `main` still runs; `main` is cancelled
    after it, or after `drain_seconds`, or at a second signal. The code is 0, or 1 after an error.
    """
    with asyncio.Runner(debug=False) as runner:  # debug mode would log the arguments of callbacks
        return runner.run(_live(main, drain, drain_seconds))


async def _live(main: Work, drain: Callable[[], Awaitable[None]], drain_seconds: float) -> int:
    stops, loop = asyncio.Queue[None](), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stops.put_nowait, None)
    running, stopping = asyncio.create_task(main()), asyncio.create_task(stops.get())
    await asyncio.wait({running, stopping}, return_when=_FIRST)
    stopping = asyncio.create_task(stops.get())  # a second signal does not wait for the drain
    draining = asyncio.ensure_future(drain())
    await asyncio.wait({draining, stopping}, timeout=drain_seconds, return_when=_FIRST)
    for task in (draining, running, stopping):
        task.cancel()
    results = await asyncio.gather(running, draining, return_exceptions=True)
    errors = [result for result in results if isinstance(result, Exception)]
    for error in errors:
        _logger.error("the process ends after an error", exc_info=error)
    if not draining.cancelled():
        return 1 if errors else 0
    _logger.error("the drain was cut short", extra={"drain_seconds": drain_seconds})
    return 1


def harden_process() -> None:
    """Turn core dumps off: memory may hold what must never reach a disk."""
    # On Linux a limit of 1 also stops a core_pattern that pipes to a program; 0 does not.
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
