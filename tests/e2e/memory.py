"""How much memory each container of the chart has, by process, held against the aims.

Owns the aims. Called by the chart's e2e tests; reads /proc on the node. A miss is said in the line,
never raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.e2e.chart_world import NAMESPACE, ChartWorld

# Container -> the aims of its processes in MiB of RSS, by what their command lines end with.
AIMS = {"hub": 90, "operator": 110}
RELAY_AIM, COLLECTOR_AIM = 20, 45
_KIB = 1024


def memory_lines(world: ChartWorld) -> Iterator[str]:
    """Yield a line for each process of the chart's containers, RSS and PSS in MiB."""
    pods = world.told("-n", NAMESPACE, "pods")["items"]
    for pod in [*pods, world.radar().told()]:
        for status in [
            *pod["status"].get("initContainerStatuses", ()),
            *pod["status"].get("containerStatuses", ()),
        ]:
            if status["name"] in {*AIMS, "radar-audit"} and "running" in status["state"]:
                yield from _container(world, status)


def _container(world: ChartWorld, status: dict[str, Any]) -> Iterator[str]:
    task = status["containerID"].removeprefix("containerd://")
    listed = world.on_node("ctr", "--namespace=k8s.io", "tasks", "ps", task).splitlines()[1:]
    seen = sorted(_process(world, int(line.split()[0])) for line in listed)
    for number, (rss, pss, command) in enumerate(seen):
        aim = AIMS.get(status["name"], RELAY_AIM if number < len(seen) - 1 else COLLECTOR_AIM)
        held = "" if rss <= aim else ", MISSED"
        yield (
            f"memory of {status['name']}, `{command}`: RSS {rss:.1f} MiB"
            f" (aim {aim}{held}), PSS {pss:.1f} MiB"
        )


def _process(world: ChartWorld, pid: int) -> tuple[float, float, str]:
    told = world.on_node("cat", f"/proc/{pid}/smaps_rollup")
    words = world.on_node("cat", f"/proc/{pid}/cmdline").split("\0")
    names = [word.rpartition("/")[2] for word in words if word and not word.startswith("-")]

    def mib(field: str) -> float:
        found = re.search(rf"^{field}:\s+(\d+) kB$", told, re.MULTILINE)
        assert found is not None, told
        return int(found[1]) / _KIB

    return mib("Rss"), mib("Pss"), " ".join(names[-2:])
