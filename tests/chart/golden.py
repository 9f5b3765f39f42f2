"""The golden snapshots of the chart: what each set of values renders, as reviewed YAML.

Owns their text. Called by test_golden; `python -m tests.chart.golden` writes them anew after a
wanted change, and the diff is what is reviewed. The operator's kinds, alerts and dashboards are
left out: they are files of their own with tests of their own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.chart.rendering import Helm, Object, Rendered, set_names

FOLDER = Path(__file__).parent / "golden"
_FILES = {"CustomResourceDefinition", "PrometheusRule", "ServiceMonitor", "PodMonitor"}


def text(rendered: Rendered) -> str:
    """Return the snapshot: the objects by kind and name, as plain YAML."""
    shown = sorted(filter(_is_shown, rendered.objects), key=_place)
    return yaml.dump_all(
        map(_opened, shown),
        Dumper=yaml.CSafeDumper,
        default_flow_style=None,
        sort_keys=False,
        width=4000,
    )


def _is_shown(each: Object) -> bool:
    has_dashboard = any(name.endswith(".json") for name in each.get("data", {}))
    return each["kind"] not in _FILES and not has_dashboard


def _place(each: Object) -> tuple[str, str, str]:
    metadata = each["metadata"]
    return each["kind"], metadata.get("namespace", ""), metadata["name"]


def _opened(each: Object) -> Object:
    """Show YAML inside of a ConfigMap as YAML, and leave out the program of the helm test."""
    if each["kind"] != "ConfigMap" or "data" not in each:
        return each
    return {**each, "data": {name: _shown(name, value) for name, value in each["data"].items()}}


def _shown(name: str, value: str) -> Any:
    return yaml.safe_load(value) if name.endswith(".yaml") else "..."


def main() -> None:
    """Write all snapshots."""
    with tempfile.TemporaryDirectory() as folder:
        helm = Helm(Path(folder))
        for name in set_names():
            (FOLDER / f"{name}.yaml").write_text(text(helm.render(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
