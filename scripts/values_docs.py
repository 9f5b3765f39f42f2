"""Writes the table of values in docs/install.md from the chart's values.yaml; `make docs` calls it.

Owns how a comment of values.yaml belongs to its key: it stands behind the key, or above it.
`tests/chart/test_values.py` compares the page. It also copies crds/ into the chart, which Helm
needs within its folder; `tests/chart/test_kinds.py` compares those.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "radar-audit"
PAGE = ROOT / "docs" / "install.md"
_BEGIN, _END = "<!-- values: written by `make docs` -->\n", "<!-- end of values -->\n"
_KEY = re.compile(
    r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):(?: (?P<value>[^ #].*?))?(?:  # (?P<said>.*))?$"
)


@dataclass(frozen=True)
class Row:
    """A key with its path (`hub.image.tag`), its default as YAML in one line, and what it is."""

    path: str
    default: str
    explained: str


def rows() -> list[Row]:
    """Return the keys of values.yaml in its order; those that hold others have an empty default."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    found: list[Row] = []
    path: list[str] = []
    above = ""
    for line in text.splitlines():
        comment = re.match(r"^ *# (.*)$", line)
        if comment:
            above = f"{above} {comment[1]}".strip()
            continue
        key = _KEY.match(line)
        if key is not None:
            path = [*path[: len(key["indent"]) // 2], key["key"]]
            holds = key["value"] is None
            default = "" if holds else _default(values, path)
            found.append(Row(".".join(path), default, key["said"] or above))
        above = ""
    return found


def _default(values: Any, path: list[str]) -> str:
    for key in path:
        values = values[key]
    return json.dumps(values, ensure_ascii=False)


def table() -> str:
    """Return the rows as a table of Markdown."""
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for row in rows():
        default = f"`{row.default}`" if row.default else ""
        cells = (f"`{row.path}`", default, row.explained)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return docs/install.md with the table as it must be."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{rest.split(_END)[1]}"


def main() -> None:
    """Write the page, and the copies of the kinds."""
    PAGE.write_text(page(), encoding="utf-8")
    for source in sorted((ROOT / "crds").glob("*.yaml")):
        shutil.copyfile(source, CHART / "files" / "crds" / source.name)
    print(f"{PAGE} and {CHART / 'files' / 'crds'} are up to date")


if __name__ == "__main__":
    main()
