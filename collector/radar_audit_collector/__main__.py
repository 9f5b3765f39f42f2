"""`python -m radar_audit_collector`: the same program as `radar-audit-collector`."""

from __future__ import annotations

import sys

from radar_audit_collector.main import main

if __name__ == "__main__":
    sys.exit(main())
