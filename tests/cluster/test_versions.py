"""Guards which Kubernetes versions can be built, and under which key they are kept."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.pin import go_mod
from tests.cluster.versions import (
    DEFAULT_MINOR,
    MODULES,
    PACKAGES,
    Release,
    chosen_minor,
    minors,
    release,
)

_PUBLISHED = """\
module k8s.io/kubernetes

go 1.24.0

godebug default=go1.24

require (
\tgo.etcd.io/etcd/client/pkg/v3 v3.6.4
\tgo.etcd.io/etcd/client/v3 v3.6.4
\tk8s.io/api v0.0.0
)

replace (
\tk8s.io/client-go => ./staging/src/k8s.io/client-go
\tk8s.io/api => ./staging/src/k8s.io/api
)
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    shutil.copytree(MODULES, tmp_path / "modules")
    return tmp_path / "modules"


def test_the_versions_of_the_e2e_runs_are_pinned() -> None:
    assert DEFAULT_MINOR in minors()
    assert {"1.34", "1.36"} <= set(minors())


def test_versions_are_ordered_as_numbers(modules: Path) -> None:
    shutil.copytree(modules / "v1.34", modules / "v1.9")
    assert minors(modules)[0] == "1.9"


@pytest.mark.parametrize("minor", minors())
def test_a_module_replaces_every_kubernetes_library_by_the_same_version(minor: str) -> None:
    pinned = release(minor)
    text = (pinned.folder / "go.mod").read_text(encoding="utf-8")
    replaced = re.findall(r"^\t(\S+) => (\S+) (\S+)$", text, re.MULTILINE)
    library = "v0." + pinned.version.split(".", 1)[1]
    assert pinned.version.startswith(f"{minor}.")
    assert len(replaced) > 25
    assert all(old == new and version == library for old, new, version in replaced)


@pytest.mark.parametrize("minor", minors())
def test_a_module_names_every_program_that_is_built(minor: str) -> None:
    text = (release(minor).folder / "go.mod").read_text(encoding="utf-8")
    assert set(PACKAGES.values()) <= set(re.findall(r"^\t(\S+)$", text, re.MULTILINE))


def test_an_unknown_version_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ClusterError, match=r"1\.2 is not among the pinned versions: 1\.34"):
        release("1.2")


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_changed_module_has_another_key(modules: Path, name: str) -> None:
    before = release("1.34", modules).key
    with (modules / "v1.34" / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert release("1.34", modules).key != before


def test_a_changed_flag_has_another_key() -> None:
    pinned = release("1.34")
    other = Release(pinned.minor, "1.34.0", pinned.folder)
    assert other.build_flags != pinned.build_flags
    assert other.key.split("-")[1] != pinned.key.split("-")[1]


def test_the_environment_chooses_the_version() -> None:
    assert chosen_minor({"RADAR_AUDIT_CLUSTER_KUBERNETES": "1.36"}) == "1.36"
    assert chosen_minor({}) == DEFAULT_MINOR


def test_programs_are_told_their_version() -> None:
    flags = " ".join(release("1.34").build_flags)
    assert "-X k8s.io/component-base/version.gitVersion=v1.34." in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=34" in flags


def test_a_new_module_pins_the_staging_libraries_and_etcd() -> None:
    text = go_mod("1.34.4", _PUBLISHED)
    assert "\tk8s.io/api => k8s.io/api v0.34.4\n\tk8s.io/client-go => k8s.io/client-go" in text
    assert "\tgo.etcd.io/etcd/server/v3 v3.6.4\n\tk8s.io/kubernetes v1.34.4\n" in text
    assert "\ngodebug default=go1.24\n" in text


@pytest.mark.parametrize("gone", ["./staging", "etcd/client/v3 ", "godebug"])
def test_a_published_module_of_another_form_is_refused(gone: str) -> None:
    with pytest.raises(ClusterError, match=r"the go\.mod of Kubernetes"):
        go_mod("1.34.4", _PUBLISHED.replace(gone, "other "))
