"""Appends numbered events for ever and prints each number once it is durable.

Started by `test_spool_faults`, which kills it: `python spool_writer.py DIRECTORY FIRST_NUMBER`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from radar_audit_collector.spool import Spool
from radar_audit_collector.spool_records import NewEvent


async def main(directory: Path, number: int) -> None:
    spool = Spool(directory, 64 * 1024 * 1024)
    await spool.open()
    while True:
        group = [str(n).encode() for n in range(number, number + 8)]
        await asyncio.gather(
            *(spool.append([NewEvent(int(n), None, n)], {"last": n}) for n in group)
        )
        number += len(group)
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
