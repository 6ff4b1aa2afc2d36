"""What Ray sees of others in a pod: the head's folder where it has no node of its own, and no other container."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from localcluster.node.shared.hook import POD
from localcluster.node.shared.hook.ray import patch_channels, patch_psutil, patch_services, patch_utils
from localcluster.testing.hooked import Neighbours


def a_module(**functions: Any) -> Any:
    module = ModuleType("module")
    vars(module).update(functions)
    return module


@pytest.mark.parametrize(
    ("words", "sockets"),
    [(["/bin/ray", "status"], []), (["/bin/other", "start"], []), (["driver.py"], ["plasma_store"])],
    ids=["another command", "another program", "no raylet yet"],
)
def test_who_has_no_node_in_its_pod_uses_the_heads_folder(
    words: list[str], sockets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds the cluster's session there."""
    pod = Neighbours(tmp_path).pod("one", 5).pod
    folder = Path(pod.temporary) / "ray" / "session_latest" / "sockets"
    folder.mkdir(parents=True)
    for name in sockets:
        (folder / name).touch()
    utils = a_module(internal_kv_get_with_retry=lambda gcs, key, namespace: b"the head's")
    patch_utils(pod, utils)
    monkeypatch.setattr(sys, "argv", words)

    assert utils.internal_kv_get_with_retry(None, b"temp_dir", None) == b"the head's"


def test_a_container_whose_description_is_called_alike_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is a process that may not be asked, as init for most."""
    hooked = Neighbours(tmp_path).pod("one", 5)
    monkeypatch.setenv(POD, str(hooked.file))
    alike = subprocess.Popen(
        ["bash", "-c", "echo up; exec sleep 60"],
        env={POD: f"{hooked.file}.old"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert alike.stdout is not None
    with alike:
        alike.stdout.readline()
        psutil = a_module(process_iter=lambda: (SimpleNamespace(pid=pid) for pid in (alike.pid, 1)))
        patch_psutil(hooked.pod, psutil)
        seen = list(psutil.process_iter())
        alike.kill()

    assert seen == []


@pytest.mark.spec("ray-side:S10-26")
def test_a_process_is_the_containers_by_its_own_mark_or_by_its_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has thrown its environment away, and says so when it has; the other is in a session of somebody else's.

    Neither becomes another program meanwhile: for a moment of that it has no environment to be seen.
    """
    hooked = Neighbours(tmp_path).pod("one", 5)
    monkeypatch.setenv(POD, str(hooked.file))
    naked = "exec 3<&0; env -i bash -c 'echo $$; read <&3' & wait"
    with (
        subprocess.Popen(
            ["bash", "-c", naked],
            env=hooked.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as leader,
        subprocess.Popen(
            ["bash", "-c", "echo $$; read"], env=hooked.variables(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as ours,
    ):
        said = []
        for process in (leader, ours):
            assert process.stdout is not None
            said.append(int(process.stdout.readline()))
        psutil = a_module(process_iter=lambda: (SimpleNamespace(pid=pid) for pid in said))
        patch_psutil(hooked.pod, psutil)
        seen = [one.pid for one in psutil.process_iter()]
        for pid in (*said, leader.pid):
            os.kill(pid, signal.SIGKILL)

    assert seen == said


def test_ray_itself_is_asked_with_an_address_and_not_with_a_name(tmp_path: Path) -> None:
    """It looks at the machine's names when it gets one."""
    asked: list[Any] = []
    cluster = Neighbours(tmp_path)
    cluster.names({"head.ns.svc.cluster.local": [f"{cluster.block}.0.7"]})
    cluster.moved(f"{cluster.block}.0.7", 6379, 24567)
    services = a_module(canonicalize_bootstrap_address=lambda address, temp_dir=None: asked.append(address))
    patch_services(cluster.pod("one", 5).pod, services)

    answers = [services.canonicalize_bootstrap_address(said) for said in ("head:6379", None)]

    assert asked == [f"{cluster.block}.0.7:24567", None]
    assert answers == [None, None]


def test_a_channel_to_localhost_leads_to_the_pod_also_where_the_machine_has_that_port(tmp_path: Path) -> None:
    """A program of the machine on its loopback, and the pod's own server at its address."""
    pod = Neighbours(tmp_path).pod("one", 5).pod
    grpc = a_module(insecure_channel=lambda target: target)
    patch_channels(pod, grpc)
    with socket.create_server((pod.address, 0)) as own:
        port = own.getsockname()[1]
        with socket.create_server(("127.0.0.1", port)):
            found = grpc.insecure_channel(f"localhost:{port}")

    assert found == f"{pod.address}:{port}"
