"""The process that brings the schema up to date for a server that starts.

Owns the child's side of `migrate_apart.py`: the database's URL comes on standard input, since it
holds a password; why it failed goes to standard output in a sentence, and its trace to the log.
Never serves anything.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from radar_audit_events.redact import redact_text
from radar_audit_runtime.logs import configure
from radar_audit_runtime.tasks import harden_process

from .driver_logs import hide_statements
from .faults import cause_of, is_unavailable
from .migrate import upgrade

_logger = logging.getLogger("radar_audit_hub.store.migrate")


def main() -> int:
    """Migrate and return the exit code: 0 done, 1 with a sentence on standard output."""
    configure("hub", "warning", sys.stderr, redact_text)
    hide_statements()
    harden_process()
    try:
        asyncio.run(upgrade(sys.stdin.read()))
    except Exception as error:  # whatever it is, the server is told and ends
        if is_unavailable(error):
            sys.stdout.write(f"the database cannot be used ({cause_of(error)})")
        else:
            _logger.exception("the schema cannot be brought up to date")
            sys.stdout.write(f"{type(error).__name__}: {redact_text(str(error))}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
