"""Searches through rows take turns, so that one org's crowd holds up neither others nor itself."""

from __future__ import annotations

import asyncio

from radar_audit_hub.store.scans import Scans


async def test_crowd_of_one_org_leaves_a_place_for_another() -> None:
    scans = Scans(total=2, per_org=1)
    running: list[str] = []
    go = asyncio.Event()

    async def scan(org_id: str) -> None:
        async with scans.turn(org_id):
            running.append(org_id)
            await go.wait()

    crowd = [asyncio.create_task(scan("org_crowd")) for _ in range(50)]
    await asyncio.sleep(0)
    other = asyncio.create_task(scan("org_other"))
    await asyncio.sleep(0)
    assert running == ["org_crowd", "org_other"]
    go.set()
    await asyncio.gather(*crowd, other)
    assert running.count("org_crowd") == 50
    assert len(scans) == 0


async def test_places_are_bounded_over_all_orgs() -> None:
    scans = Scans(total=2, per_org=2)
    running, most = 0, 0

    async def scan(org_id: str) -> None:
        nonlocal running, most
        async with scans.turn(org_id):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(scan(f"org_{n % 5}") for n in range(40)))
    assert (most, running, len(scans)) == (2, 0, 0)


async def test_who_gives_up_or_fails_frees_the_place() -> None:
    scans = Scans(total=1, per_org=1)

    async def fail() -> None:
        async with scans.turn("org_x"):
            raise RuntimeError

    async with scans.turn("org_x"):
        waiting = asyncio.create_task(fail())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.gather(fail(), return_exceptions=True)
    assert len(scans) == 0
    async with asyncio.timeout(5), scans.turn("org_x"):
        pass
