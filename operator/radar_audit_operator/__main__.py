"""`python -m radar_audit_operator` is the program `radar-audit-operator`."""

from __future__ import annotations

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
