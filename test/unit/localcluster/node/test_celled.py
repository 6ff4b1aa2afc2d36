"""Pods in namespaces, as far as it can be told without a cell: what is mounted where, and a place that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from localcluster.node.celled import CellGround, _mounts
from localcluster.node.ground import Place, Start
from localcluster.node.images import Image
from localcluster.node.interfaces import Container, Fault
from localcluster.node.network import Link, Network
from localcluster.node.rootfs import Mount
from localcluster.node.volumes import PodFiles, Source

IMAGE = Image("x", {}, "/home/ray", mounts=(("/images/x", "/opt/ray"),))


def a_place(folder: Path, **sources: Source) -> Place:
    pod: dict[str, Any] = {"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": []}}
    return Place(pod, "10.244.0.2", PodFiles(folder, sources, ()))


def a_start(own: Path, *mounts: dict[str, Any]) -> Start:
    return Start(Container("u", "main", 0, "x", (), (), (), mounts=mounts), IMAGE, ["true"], {}, own, own / "log")


def test_a_container_has_its_own_of_what_programs_write_to_without_asking(tmp_path: Path) -> None:
    """Shared memory is the pod's, and the image's environment nobody's to write to."""
    folder, own = tmp_path / "pod", tmp_path / "pod" / "containers" / "main-0"

    found = {one.target: one for one in _mounts(a_place(folder), a_start(own))}

    assert found == {
        "/tmp": Mount(f"{own}/tmp", "/tmp"),
        "/home/ray": Mount(f"{own}/home", "/home/ray"),
        "/dev/shm": Mount(f"{folder}/shm", "/dev/shm"),
        "/etc/hosts": Mount(f"{folder}/etc/hosts", "/etc/hosts"),
        "/etc/resolv.conf": Mount(f"{folder}/etc/resolv.conf", "/etc/resolv.conf"),
        "/etc/hostname": Mount(f"{folder}/etc/hostname", "/etc/hostname"),
        "/opt/ray": Mount("/images/x", "/opt/ray", read_only=True),
    }


def test_what_the_pod_mounts_itself_covers_what_we_do(tmp_path: Path) -> None:
    """The last of two mounts at one place is the one that is seen."""
    volume = tmp_path / "volume"
    own_tmp = a_start(tmp_path / "own", {"name": "data", "mountPath": "/tmp"})

    every = [
        one.source for one in _mounts(a_place(tmp_path, data=Source(str(volume))), own_tmp) if one.target == "/tmp"
    ]

    assert every[-1] == str(volume)


class Links:
    """A network whose interfaces never come."""

    def __init__(self) -> None:
        self.attached: list[Link] = []
        self.detached: list[Link] = []

    async def attach(self, pid: int) -> Link:
        self.attached.append(Link("10.244.0.2", "pod2"))
        return self.attached[-1]

    async def detach(self, link: Link) -> None:
        self.detached.append(link)


async def test_a_pod_whose_sandbox_cannot_be_made_keeps_no_address(tmp_path: Path) -> None:
    """It is told, and the kubelet tries again; who may make no namespaces does not even get so far."""
    links = Links()
    ground = CellGround(cast("Network", links), tmp_path / "claims")
    pod = {"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": []}}

    with pytest.raises(Fault, match="Failed to create pod sandbox: ") as told:
        await ground.settle(pod, {}, tmp_path / "pod")

    assert told.value.reason == "FailedCreatePodSandBox"
    assert links.detached == links.attached
    assert not (tmp_path / "pod").exists()
