"""Merging loses nothing of the user's, changes nothing twice, and is undone by removing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radar_audit_collector.radar_values.block import (
    ACCOUNT_PATH,
    LISTS,
    SIDECAR,
    VOLUMES,
    Wishes,
    radar_values,
)
from radar_audit_collector.radar_values.merging import (
    ValuesError,
    doubts,
    has_ours,
    merged,
    without,
)
from radar_audit_collector.radar_values.yaml_file import Plain, read_values, write_values

BLOCK = radar_values(Wishes(image="example.com/c:1", hub_url="http://hub:8080"))
OTHER = radar_values(
    Wishes(image="example.com/c:2", hub_url="http://hub:8080", token_secret="radar-audit-collector")
)

_TEXTS = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12
) | st.sampled_from(
    [
        "yes",
        "on",
        "1e3",
        "010",
        "0x1F",
        "2020-01-01",
        "~",
        "null",
        "1:30",
        ".5",
        "<<",
        "- a",
        "a: b",
    ]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**17), 10**17),
    _TEXTS,
    st.sampled_from(["yes", "1e+06", "1.10", "2020-01-01", "0o17", "~", ""]).map(Plain),
    st.just("two\nlines\n"),
)
_NAMES = st.text("abcxyz-", min_size=1, max_size=8).map(lambda text: f"u{text}")
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)
_ENTRIES = st.builds(
    lambda name, more: {"name": name, **more}, _NAMES, st.dictionaries(_NAMES, _VALUES, max_size=2)
)
_MOUNTS = st.builds(
    lambda name, path: {"name": name, "mountPath": f"/{path}"}, _NAMES, st.text("ab/", max_size=6)
)


@st.composite
def values_of_users(draw: st.DrawFn) -> dict[str, Any]:
    """Values with foreign keys and any of the four lists, in any order."""
    values = draw(st.dictionaries(_NAMES, _VALUES, max_size=3))
    for name in draw(st.permutations(LISTS)):
        entries = _MOUNTS if name == "extraVolumeMounts" else _ENTRIES
        if draw(st.booleans()):
            values[name] = draw(st.lists(entries, min_size=1, max_size=3))
        values.update(draw(st.dictionaries(_NAMES, _VALUES, max_size=1)))
    return values


@settings(max_examples=40)
@given(values_of_users())
def test_merging_twice_changes_nothing_and_removing_undoes_it(values: dict[str, Any]) -> None:
    before = copy.deepcopy(values)
    once = merged(values, BLOCK)
    assert values == before
    assert merged(once, BLOCK) == once
    assert list(merged(once, BLOCK)) == list(once)
    assert without(once) == values
    assert list(without(once)) == list(values)
    assert has_ours(once)
    assert not has_ours(values)


@settings(max_examples=40)
@given(values_of_users())
def test_nothing_of_the_users_is_lost_or_moved(values: dict[str, Any]) -> None:
    once = merged(values, BLOCK)
    assert [key for key in once if key in values] == list(values)
    for key, value in values.items():
        kept = once[key]
        assert kept[: len(value)] == value if key in LISTS else kept == value
    for name in LISTS:
        assert once[name][len(values.get(name, [])) :] == BLOCK[name]


@settings(max_examples=40)
@given(values_of_users())
def test_a_newer_block_takes_the_place_of_an_older_one_only_if_asked(
    values: dict[str, Any],
) -> None:
    old = merged(values, BLOCK)
    with pytest.raises(ValuesError, match="--replace"):
        merged(old, OTHER)
    assert merged(old, OTHER, replace=True) == merged(values, OTHER)


@settings(max_examples=40)
@given(values_of_users())
def test_what_is_written_is_read_back_the_same(values: dict[str, Any]) -> None:
    text = write_values(values)
    again = read_values(text.encode(), "values")
    assert again == values
    assert list(again) == list(values)
    # Also each word stays what it was: one with quotes a text, one without as it stood.
    assert write_values(again) == text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"env": {"A": "b"}}, "env is no list"),
        ({"extraVolumes": "x"}, "extraVolumes is no list"),
        ({"env": ["A=b"]}, "entry 1 of env has no name"),
        ({"env": [{"name": "A"}, {"value": "b"}]}, "entry 2 of env has no name"),
        ({"initContainers": [{"name": 5}]}, "entry 1 of initContainers has no name"),
        ({"extraVolumeMounts": [{"name": "a"}]}, "no mountPath"),
        (
            {"env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"}]},
            "KUBERNETES_SERVICE_HOST to something else",
        ),
        ({"env": [{"name": "KUBERNETES_SERVICE_PORT", "value": 16443}]}, "as a text"),
        (
            {"extraVolumeMounts": [{"name": "mine", "mountPath": ACCOUNT_PATH + "/"}]},
            "mine at /var/run/secrets/kubernetes.io/serviceaccount/",
        ),
        ({"extraVolumes": [{"name": VOLUMES[0], "emptyDir": {}}]}, "radar-audit-sa"),
        ({"extraVolumeMounts": [{"name": VOLUMES[1], "mountPath": "/x"}]}, "extraVolumeMounts"),
        ({"initContainers": [{"name": SIDECAR, "image": "mine"}]}, "initContainers already has"),
    ],
)
def test_what_is_in_the_way_or_not_understood_is_refused_by_name(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValuesError, match=sentence):
        merged(values, BLOCK)


def test_a_place_that_is_someone_elses_is_refused_even_with_replace() -> None:
    values = {"env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"}]}
    with pytest.raises(ValuesError, match="take that entry out first"):
        merged(values, BLOCK, replace=True)


def test_values_that_leave_terminals_unrecorded_are_told() -> None:
    bad = {
        "env": [{"name": "KUBECONFIG", "value": "/x"}],
        "podSecurityContext": {"runAsUser": 1000},
        "serviceAccount": {"name": "viewer"},
    }
    told = " ".join(doubts(bad, "radar/radar"))
    for word in ("podExec", "KUBECONFIG", "fsGroup", "viewer"):
        assert word in told
    assert doubts({"rbac": {"podExec": True}}, "radar/radar") == []
