"""Guards values.yaml: short, each key explained, known to the schema, used by a template."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scripts.values_docs import page, rows
from tests.chart.rendering import CHART, Helm, RefusedError
from tests.cluster.tools import BUILD_SECONDS

pytestmark = pytest.mark.timeout(BUILD_SECONDS)
TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
Path = tuple[str, ...]
# Read by Helm itself, for a parent's condition, and by no template.
NOT_OURS: set[Path] = {("enabled",), ("global",)}
RENDER = "alwaysRender"
MONITORS = ("serviceMonitor", "podMonitor", "prometheusRule", "dashboards")
SECRET_NAMES = r"\.existing(Secret|SecretKey|Claim)$|certManager$"
INLINE = r"(\.url|\.value|clientSecret|password)$"
# Keys whose values are checked, so that a mark would be refused, and another good value.
TURNED: dict[Path, list[Any]] = {
    ("hub", "replicaCount"): [2],
    ("metrics", "renderMode"): ["skipIfMissing"],
    ("metrics", "prometheusRule", "exclude"): [["HubDown"]],
    ("collector", "webhook", "tls", "certManager"): [{"issuerRef": {"name": "ca"}}],
}
# Sets of values under which keys show, as not all go together, and which keys are left alone there.
ON: list[tuple[dict[str, Any], str]] = [
    (
        {
            "hub": {
                "ingress": {"enabled": True, "host": "a"},
                "httpRoute": {"enabled": True, "parentRefs": [{}], "hostnames": ["a"]},
            },
            "collector": {
                "webhook": {
                    "enabled": True,
                    "tls": {"existingSecret": "a"},
                    "token": {"existingSecret": "a"},
                },
                "logTail": {"enabled": True},
            },
            "metrics": {key: {"enabled": True} for key in MONITORS} | {"renderMode": RENDER},
            "networkPolicy": {"enabled": True},
        },
        rf"^fullnameOverride$|{SECRET_NAMES}|token.value",
    ),
    (
        {
            "hub": {
                "database": {"type": "postgresql", "postgresql": {"existingSecret": "a"}},
                "replicaCount": 3,
                "smtp": {"host": "a"},
                "podDisruptionBudget": {"enabled": True},
            },
            "collector": {"injection": {"mode": "admissionPolicy"}},
            "operator": {"podDisruptionBudget": {"enabled": True}, "replicaCount": 2},
        },
        INLINE,
    ),
    ({"collector": {"webhook": {"enabled": True}}}, rf"publicUrl|digest|{INLINE}"),
    (
        {
            "hub": {"database": {"type": "postgresql"}},
            "collector": {"webhook": {"enabled": True, "tls": {"existingSecret": "a"}}},
        },
        rf"serviceAccount\.name$|{SECRET_NAMES}",
    ),
]


def leaves(values: dict[str, Any], schema: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    """Yield the path of each value; a map that is the user's own to fill is one value."""
    for key, value in values.items():
        known = resolved(schema["properties"][key])
        if isinstance(value, dict) and value and "properties" in known:
            yield from leaves(value, known, (*path, key))
        else:
            yield (*path, key)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    return SCHEMA["$defs"][reference] if reference else schema


def schema_of(path: Path) -> dict[str, Any]:
    found = SCHEMA
    for key in path:
        found = resolved(found["properties"][key])
    return found


def at(values: dict[str, Any], path: Path) -> Any:
    for key in path:
        values = values[key]
    return values


def put(values: dict[str, Any], path: Path, value: Any) -> None:
    for key in path[:-1]:
        values = values.setdefault(key, {})
    values[path[-1]] = value


LEAVES = [path for path in leaves(VALUES, SCHEMA) if path not in NOT_OURS]


def test_the_file_stays_short() -> None:
    assert len(TEXT.splitlines()) < 350
    assert len(LEAVES) > 150


def test_each_key_is_explained_in_a_sentence() -> None:
    assert [row.path for row in rows() if not row.explained.strip().endswith((".", ":", "?"))] == []
    named = {row.path for row in rows()}
    assert {".".join(path) for path in LEAVES} <= named


def test_the_page_shows_what_the_file_says() -> None:
    document = CHART.parents[1] / "docs" / "install.md"
    assert page() == document.read_text(encoding="utf-8"), "type `make docs`"


def test_the_schema_knows_the_same_keys_and_no_more() -> None:
    def compare(values: dict[str, Any], schema: dict[str, Any], path: Path) -> None:
        assert values.keys() == schema["properties"].keys(), path
        assert schema["additionalProperties"] is False, path
        for key, value in values.items():
            known = resolved(schema["properties"][key])
            # cert-manager is off by an empty map; its one key is in the comment.
            if isinstance(value, dict) and "properties" in known and key != "certManager":
                compare(value, known, (*path, key))

    compare(VALUES, SCHEMA, ())


def test_every_object_of_the_schema_is_strict_or_the_users_own() -> None:
    def walk(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield node
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    loose = [
        node
        for node in walk(SCHEMA)
        if "properties" in node and isinstance(node.get("type"), str)
        if node["type"] == "object" and node.get("additionalProperties") is not False
    ]
    assert loose == []


def test_defaults_pass_the_schema_written_out(helm: Helm) -> None:
    assert helm.render(VALUES).objects == helm.render({}).objects


def test_every_key_is_used_by_a_template(helm: Helm) -> None:
    """Each value is replaced by one that is nowhere else, and looked for in what is rendered."""
    marks = {path: _mark(path, number) for number, path in enumerate(LEAVES)}
    shown: set[Path] = set()
    for base, left_alone in ON:
        values = copy.deepcopy(base)
        for path, mark in marks.items():
            if mark is not None and not re.search(left_alone, ".".join(path)):
                put(values, path, mark[0])
        text = helm.text(values, "--skip-schema-validation")
        shown |= {path for path, mark in marks.items() if mark is not None and mark[1] in text}
    # The rest only decides: most are read by their whole path, and few have to be turned.
    read = read_paths()
    unseen = [path for path in LEAVES if path not in shown and ".".join(path) not in read]
    assert len(unseen) < 15, unseen
    bases = [(base, helm.text(base)) for base, _ in ON[:2]]
    unused = [path for path in unseen if not any(_decides(helm, *base, path) for base in bases)]
    assert not unused, ", ".join(map(".".join, unused))


def test_templates_read_no_key_that_is_not_there() -> None:
    reads = read_paths()
    assert len(reads) > 100
    known = {row.path for row in rows()} | {"global"}
    beyond = {
        each
        for each in reads
        if each not in known and not each.startswith(("global.", "collector.webhook.tls.certM"))
    }
    assert beyond == set()


def read_paths() -> set[str]:
    """Return the values that templates name, `$hub.url` after `$hub := .Values.hub` among them."""
    reads: set[str] = set()
    for file in (CHART / "templates").glob("**/*"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            reads |= set(re.findall(r"\.Values\.([\w.]+)", text))
            for name, of in re.findall(r"\$(\w+) := \$?\.(?:root\.)?Values\.([\w.]+)", text):
                reads |= {f"{of}.{more}" for more in re.findall(rf"\${name}\.([\w.]+)", text)}
    return reads


def _mark(path: Path, number: int) -> tuple[Any, str] | None:
    """Return a value for a key, and how it is seen in the text; None where it only decides."""
    known = schema_of(path)
    if known.get("type") == "boolean" or path[-1] in {"type", "mode"} or path in TURNED:
        return None
    word = f"mark{number}x"
    kind = known["type"]
    if kind == "integer" or path[-1] == "maxUnavailable":
        return 20_000 + number, str(20_000 + number)
    if kind == "array":
        return _list(path, known, word), word
    return ({word: word} if kind == "object" else word), word


def _list(path: Path, known: dict[str, Any], word: str) -> list[Any]:
    item = resolved(known["items"])
    return [word] if item["type"] == "string" else [{"name": word, "kind": "More"}]


def _decides(helm: Helm, base: dict[str, Any], unchanged: str, path: Path) -> bool:
    known, default = schema_of(path), at(VALUES, path)
    turned: list[Any] = [not default] if isinstance(default, bool) else []
    turned += [word for word in known.get("enum", []) if word != default]
    turned += TURNED.get(path, [])
    for value in turned:
        changed = copy.deepcopy(base)
        put(changed, path, value)
        if _text(helm, changed) != unchanged:
            return True
    return False


def _text(helm: Helm, values: dict[str, Any]) -> str:
    try:
        return helm.text(values, "--skip-schema-validation")
    except RefusedError as error:
        return str(error)  # a check reads the key: that is a use, too
