"""Writes docs/settings.md from the settings classes of the parts; `make docs` calls it.

`tests/contract/test_settings_docs.py` compares the file with `render()`. Never reads the
environment: the page shows what the code declares.
"""

from __future__ import annotations

from pathlib import Path

from radar_audit_collector.settings import CollectorSettings
from radar_audit_hub.settings import HubSettings
from radar_audit_operator.settings import OperatorSettings
from radar_audit_runtime.settings import describe

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
PARTS: tuple[tuple[str, type, str], ...] = (
    ("Hub", HubSettings, "RADAR_AUDIT_HUB_"),
    ("Collector", CollectorSettings, "RADAR_AUDIT_COLLECTOR_"),
    ("Operator", OperatorSettings, "RADAR_AUDIT_OPERATOR_"),
)
_HEAD = """# Settings

<!-- Written by `make docs` from each part's settings.py; a test compares them. -->

Each setting is an environment variable. It may instead stand in a TOML file, under the variable's
name without the prefix and in lower case (`listen = "127.0.0.1:8080"`); `<PREFIX>CONFIG` names
that file, and a variable wins over it. A secret may be read from a file of its own, which
`<VARIABLE>_FILE` names. All wrong or unknown settings are reported at once, before anything
starts. Lists are separated by commas.
"""


def render() -> str:
    """Return the whole page."""
    parts = (_section(title, cls, prefix) for title, cls, prefix in PARTS)
    return "\n".join((_HEAD, *parts))


def _section(title: str, cls: type, prefix: str) -> str:
    lines = [f"## {title}", "", "| variable | what it is | value | default |", "|---|---|---|---|"]
    for row in describe(cls, prefix):
        default = row.default if row.default in {"required", "none"} else f"`{row.default}`"
        expects = f"{row.expects}; secret" if row.secret else row.expects
        cells = (f"`{row.variable}`", row.help, expects, default if row.default else "empty")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"{PAGE} is up to date")
