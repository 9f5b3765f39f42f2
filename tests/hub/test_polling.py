"""The loop of the background jobs outlives every failure, and tells of it now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from radar_audit_hub.polling import EveryNth, poll_forever, rung

_logger = logging.getLogger("radar_audit_hub.polling.tests")
LONG_SECONDS = 30.0


def after(looks: int) -> Callable[[], Awaitable[None]]:
    """Return a pause that is cancelled when that many looks were made."""
    left = [looks]

    async def pause() -> None:
        left[0] -= 1
        if not left[0]:
            raise asyncio.CancelledError

    return pause


class Looking:
    """A look that fails where `outcomes` says so, and succeeds when they are over."""

    def __init__(self, *outcomes: bool) -> None:
        self._outcomes = list(outcomes)
        self.looks = self.failures = 0

    async def look(self) -> None:
        self.looks += 1
        if self._outcomes and not self._outcomes.pop(0):
            raise ConnectionError("no database")

    def failed(self) -> None:
        self.failures += 1


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == _logger.name]


async def test_every_look_is_followed_by_a_pause_also_one_that_failed() -> None:
    looking = Looking(True, False, False, True, False)
    with pytest.raises(asyncio.CancelledError):
        await poll_forever(looking.look, after(5), logger=_logger, trouble="it failed")
    assert looking.looks == 5


async def test_the_first_failure_in_a_row_is_logged_and_then_every_nth(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looking = Looking(*[False] * 7)
    with pytest.raises(asyncio.CancelledError):
        await poll_forever(
            looking.look,
            after(7),
            logger=_logger,
            trouble="it failed",
            log_every=3,
            failed=looking.failed,
        )
    assert logged(caplog) == ["it failed"] * 3, "the first, the fourth and the seventh"
    assert looking.failures == 7
    assert caplog.records[0].exc_info is not None


async def test_a_success_ends_the_row_so_that_the_next_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looking = Looking(False, True, False)
    with pytest.raises(asyncio.CancelledError):
        await poll_forever(
            looking.look, after(3), logger=_logger, trouble="it failed", log_every=100
        )
    assert len(logged(caplog)) == 2


async def test_every_failure_is_logged_where_nothing_else_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looking = Looking(False, False)
    with pytest.raises(asyncio.CancelledError):
        await poll_forever(looking.look, after(2), logger=_logger, trouble="it failed")
    assert len(logged(caplog)) == 2


@pytest.mark.parametrize("where", ["look", "pause"])
async def test_cancelling_ends_it_wherever_it_is(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun, looking = asyncio.Event(), Looking()

    async def stands_still() -> None:
        begun.set()
        await asyncio.Event().wait()

    look = stands_still if where == "look" else looking.look
    task = asyncio.create_task(
        poll_forever(look, stands_still, logger=_logger, trouble="it failed", failed=looking.failed)
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not looking.failures
    assert not logged(caplog)


async def test_a_bell_cuts_a_pause_short() -> None:
    bell, looked = asyncio.Event(), asyncio.Semaphore(0)

    async def look() -> None:
        bell.clear()
        looked.release()

    async def pause() -> None:
        await rung(bell, LONG_SECONDS * 100)  # longer than this test may take

    task = asyncio.create_task(poll_forever(look, pause, logger=_logger, trouble="it failed"))
    async with asyncio.timeout(LONG_SECONDS):
        await looked.acquire()
        bell.set()
        await looked.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_bell_does_not_cut_the_rest_after_a_failure_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", rest)
    bell, looking, looked = asyncio.Event(), Looking(False, True, False), after(4)
    bell.set()

    async def pause() -> None:
        await rung(bell, LONG_SECONDS)
        await looked()

    with pytest.raises(asyncio.CancelledError):
        await poll_forever(
            looking.look, pause, logger=_logger, trouble="it failed", rest_seconds=7.0
        )
    assert (looking.looks, rests) == (4, [7.0, 7.0]), "after each failure, and only then"


async def test_a_bell_says_whether_it_rang_and_stays_as_it_is() -> None:
    bell = asyncio.Event()
    assert not await rung(bell, 0.0)
    bell.set()
    assert await rung(bell, LONG_SECONDS)
    assert bell.is_set()


def test_something_rarer_is_due_at_the_first_look_and_at_every_nth_after_it() -> None:
    due = EveryNth(3)
    assert [due.is_due() for _ in range(7)] == [True, False, False, True, False, False, True]
