"""What a limited container may use of its machine, by files as kernels write them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from localcluster.capacity import Capacity, capacity

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
CORES = len(os.sched_getaffinity(0))
GIB = 2**30


def a_process(folder: Path, cgroup: str, mounts: str, files: Mapping[str, str]) -> Path:
    """Its part of /proc; TREE in `mounts` is where the files are."""
    tree, proc = folder / "tree", folder / "proc"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{text}\n")
    proc.mkdir()
    (proc / "cgroup").write_text(cgroup)
    (proc / "mountinfo").write_text(mounts.replace("TREE", str(tree)))
    return proc


V2 = "30 23 0:26 {root} TREE ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n"
V1 = (
    "31 25 0:27 {root} TREE/memory ro,nosuid - cgroup cgroup rw,memory\n"
    "32 25 0:28 {root} TREE/cpu,cpuacct ro,nosuid master:11 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 25 0:29 / TREE/systemd ro,nosuid - cgroup cgroup rw,xattr,name=systemd\n"
)


def test_a_container_of_today_has_what_its_cgroup_has(tmp_path: Path) -> None:
    """Its own cgroup is the root of what it sees. Half a core is one that is slow."""
    files = {"memory.max": str(GIB), "cpu.max": "50000 100000"}
    proc = a_process(tmp_path, "0::/\n", V2.format(root="/"), files)

    assert capacity(proc) == Capacity(1, GIB)
    assert capacity(proc).quantities() == {"cpu": "1", "memory": "1024Mi"}


def test_the_smallest_limit_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    """As in a user's slice, or in a CI runner's job."""
    files = {
        "job/memory.max": str(GIB),
        "job/cpu.max": "max 100000",
        "job/step/memory.max": "max",
        "job/step/cpu.max": "25000 100000",
        "other/memory.max": "1",
    }
    proc = a_process(tmp_path, "0::/job/step\n", V2.format(root="/"), files)

    assert capacity(proc) == Capacity(1, GIB)


@pytest.mark.parametrize("root", ["/docker/0a1b", "/"])
def test_trees_for_each_controller_are_known_too(root: str, tmp_path: Path) -> None:
    """In a container that sees a part of them, its path is one of the whole."""
    below = "docker/0a1b/" if root == "/" else ""
    files = {
        f"memory/{below}memory.limit_in_bytes": str(GIB),
        f"cpu,cpuacct/{below}cpu.cfs_quota_us": "150000",
        f"cpu,cpuacct/{below}cpu.cfs_period_us": "300000",
    }
    cgroup = "9:name=systemd:/x\n4:memory:/docker/0a1b\n3:cpu,cpuacct:/docker/0a1b\n0::/\n"
    proc = a_process(tmp_path, cgroup, V1.format(root=root), files)

    assert capacity(proc) == Capacity(1, GIB)


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        ("0::/\n", {}),  # the root of a machine
        ("0::/\n", {"memory.max": "max", "cpu.max": "max 100000"}),
        ("0::/../elsewhere\n", {}),  # started from outside of its container
        ("4:memory:/\n3:cpu,cpuacct:/\n", {"memory.limit_in_bytes": "9223372036854771712", "cpu.cfs_quota_us": "-1"}),
        ("", {}),
    ],
)
def test_without_a_limit_it_is_the_machine(cgroup: str, files: Mapping[str, str], tmp_path: Path) -> None:
    """More than there is cannot be had either."""
    proc = a_process(tmp_path, cgroup, V2.format(root="/") + V1.format(root="/"), files)

    assert capacity(proc) == Capacity(CORES, MACHINE)


def test_a_kernel_without_cgroups_limits_nothing(tmp_path: Path) -> None:
    """Its /proc has no such files."""
    assert capacity(tmp_path).quantities() == {"cpu": str(CORES), "memory": f"{MACHINE // 2**20}Mi"}


def test_a_limit_that_can_be_read_from_outside_too_is_found_at_the_mount(tmp_path: Path) -> None:
    """What `docker exec` starts may stand beside the container's own cgroup."""
    proc = a_process(tmp_path, "0::/../elsewhere\n", V2.format(root="/"), {"memory.max": str(GIB)})

    assert capacity(proc).memory == GIB
