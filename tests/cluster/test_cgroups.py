"""Guards how the mounted cgroup hierarchies are told apart."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.cgroups import Hierarchy, hierarchies

_FIRST = """\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
_SECOND = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
_NAMED_ONLY = """\
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_controllers_of_version_1_are_taken_with_their_mount_options() -> None:
    found = hierarchies(_FIRST)
    assert [(str(each.mounted), each.options) for each in found] == [
        ("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"),
        ("/sys/fs/cgroup/cpuset", "cpuset"),
        ("/sys/fs/cgroup/systemd", "none,name=systemd"),
    ]
    assert {each.version for each in found} == {1}


def test_a_hierarchy_that_is_mounted_twice_is_taken_once() -> None:
    again = "50 31 0:31 / /mnt/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    assert len(hierarchies(_FIRST + again)) == 3


def test_version_2_is_taken_where_no_controller_is_mounted_as_version_1() -> None:
    assert hierarchies(_SECOND) == (Hierarchy(Path("/sys/fs/cgroup"), "", 2),)
    assert hierarchies(_NAMED_ONLY) == (Hierarchy(Path("/sys/fs/cgroup/unified"), "", 2),)


def test_a_machine_without_hierarchies_has_none() -> None:
    assert hierarchies("23 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n") == ()


def test_clusters_have_groups_of_their_own() -> None:
    hierarchy = hierarchies(_SECOND)[0]
    assert hierarchy.group("a") == Path("/sys/fs/cgroup/radar-audit-a")
    assert hierarchy.group("a") != hierarchy.group("b")
