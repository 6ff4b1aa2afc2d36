"""What is changed in modules of Ray, gRPC, psutil and uvloop; these stand here with the functions that are changed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from localcluster.node.shared.hook import POD
from localcluster.node.shared.hook.pod import Pod
from localcluster.node.shared.hook.ray import (
    patch_channels,
    patch_psutil,
    patch_servers,
    patch_services,
    patch_utils,
    patch_uvloop,
)
from localcluster.node.shared.hook.sockets import patch_names
from localcluster.testing.hooked import HookedPod, Neighbours


def a_module(**functions: Any) -> Any:
    module = ModuleType("module")
    vars(module).update(functions)
    return module


def a_pod(tmp_path: Path) -> tuple[Neighbours, HookedPod, Pod]:
    cluster = Neighbours(tmp_path)
    hooked = cluster.pod("one", 5)
    return cluster, hooked, hooked.pod


@contextmanager
def own_sockets(pod: Pod) -> Iterator[None]:
    """This process looks names up as that pod does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            patch.setattr(socket, name, getattr(socket, name))  # what is put there is taken back
        patch_names(pod.names, socket)
        yield


def with_a_raylet(pod: Pod) -> None:
    sockets = Path(pod.temporary) / "ray" / "session_latest" / "sockets"
    sockets.mkdir(parents=True)
    (sockets / "raylet").touch()


@pytest.mark.spec("ray-side:S10-12")
def test_an_address_reaches_ray_as_a_number_and_at_the_port_that_moved(tmp_path: Path) -> None:
    """As the user says it, or as Ray finds it."""
    cluster, _, pod = a_pod(tmp_path)
    cluster.names({"head.ns.svc.cluster.local": [f"{cluster.block}.0.7"]})
    cluster.moved(f"{cluster.block}.0.7", 6379, 24567)
    services = a_module(canonicalize_bootstrap_address=lambda address, temp_dir=None: address or "head:6379")
    patch_services(pod, services)
    found = [services.canonicalize_bootstrap_address(said) for said in ("head:6379", None)]
    assert found == [f"{cluster.block}.0.7:24567"] * 2


@pytest.mark.spec("ray-side:S10-20")
def test_a_driver_attaches_to_its_own_pods_node_if_there_is_one(tmp_path: Path) -> None:
    """To the head's it would by itself."""
    _, _, pod = a_pod(tmp_path)
    services = a_module(
        get_node_to_connect_for_driver=lambda gcs, node: node, get_cached_node_ip_address=lambda session: "127.9.9.9"
    )
    patch_services(pod, services)

    def seen() -> tuple[str, str]:
        node = services.get_node_to_connect_for_driver("gcs", "127.9.9.9")
        return node, services.get_cached_node_ip_address("/session")

    assert seen() == ("127.9.9.9", "127.9.9.9")
    with_a_raylet(pod)
    assert seen() == (pod.address, pod.address)


@pytest.mark.spec("ray-side:S10-2")
def test_a_worker_keeps_its_files_in_its_own_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a release that gives it the head's folder. A driver in a pod without a node has the head's."""
    _, _, pod = a_pod(tmp_path)
    utils = a_module(internal_kv_get_with_retry=lambda gcs, key, namespace, num_retries=20: b"the head's")
    patch_utils(pod, utils)
    own = f"{pod.temporary}/ray".encode()
    assert utils.internal_kv_get_with_retry(None, "temp_dir", None, num_retries=1) == b"the head's"
    monkeypatch.setattr(sys, "argv", ["/bin/ray", "start"])
    assert utils.internal_kv_get_with_retry(None, "temp_dir", None, num_retries=1) == own
    assert utils.internal_kv_get_with_retry(None, "session_name", None) == b"the head's"
    monkeypatch.setattr(sys, "argv", ["driver.py"])
    with_a_raylet(pod)
    assert utils.internal_kv_get_with_retry(None, "temp_dir", None) == own


@pytest.mark.spec("ray-side:S5-12", "ray-side:S10-26")
def test_ray_stop_sees_the_processes_of_its_own_container_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that threw its environment away is known by its session."""
    cluster, hooked, pod = a_pod(tmp_path)
    monkeypatch.setenv(POD, str(hooked.file))
    waiting = ["bash", "-c", "env -i bash -c 'echo $$; exec sleep 60' & wait"]  # it says so when it has
    own = subprocess.Popen(waiting, env=hooked.variables(), stdout=subprocess.PIPE, text=True, start_new_session=True)
    other = subprocess.Popen(waiting, env=cluster.pod("two", 6).variables(), stdout=subprocess.PIPE, text=True)
    assert own.stdout is not None and other.stdout is not None  # noqa: PT018
    naked, others = int(own.stdout.readline()), int(other.stdout.readline())

    def process_iter() -> Iterator[Any]:
        return (SimpleNamespace(pid=pid) for pid in (own.pid, naked, other.pid, others, os.getpid(), 2**22 + 1))

    try:
        psutil = a_module(process_iter=process_iter)
        patch_psutil(pod, psutil)
        assert [one.pid for one in psutil.process_iter()] == [own.pid, naked]
    finally:
        for pid in (naked, others, own.pid, other.pid):
            os.kill(pid, 9)
        for process in (own, other):
            process.communicate()


def test_a_channel_of_grpc_leads_where_a_connection_would(tmp_path: Path) -> None:
    """Its C core sees no names of ours."""
    cluster, _, pod = a_pod(tmp_path)
    cluster.names({"head.ns.svc.cluster.local": [f"{cluster.block}.0.7"]})
    grpc = a_module(insecure_channel=lambda target, options=None: target)
    patch_channels(pod, grpc)
    with socket.create_server(("127.0.0.1", 0)) as machines:
        said = ["head:10001", f"localhost:{machines.getsockname()[1]}", "10.0.0.1:5", "unix:/tmp/socket"]
        assert [grpc.insecure_channel(one) for one in said] == [f"{cluster.block}.0.7:10001", *said[1:]]


def test_a_channel_to_the_gcs_of_the_own_pod_leads_where_that_has_moved(tmp_path: Path) -> None:
    """By the loopback as by the pod's name."""
    cluster, _, pod = a_pod(tmp_path)
    cluster.moved(pod.address, 6379, 24567)
    grpc = a_module(insecure_channel=lambda target, options=None: target)
    patch_channels(pod, grpc)
    assert {grpc.insecure_channel(f"{one}:6379") for one in ("127.0.0.1", "one")} == {f"{pod.address}:24567"}


@pytest.mark.spec("ray-side:S10-14")
def test_a_channel_to_a_server_that_is_to_come_leads_to_the_pods_own(tmp_path: Path) -> None:
    """Ray's client proxy makes it first and starts the server then: that of another pod must not be taken for it."""
    _, _, pod = a_pod(tmp_path)
    grpc = a_module(insecure_channel=lambda target, options=None: target)
    patch_channels(pod, grpc)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert grpc.insecure_channel(f"127.0.0.1:{port}") == f"{pod.address}:{port}"


class Server:
    """gRPC's, as far as it matters here."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def add_insecure_port(self, address: str) -> int:
        """Answers the port."""
        self.places.append(address)
        return int(address.rpartition(":")[2])


@pytest.mark.spec("ray-side:S10-21", "ray-side:S10-14")
@pytest.mark.parametrize(
    ("said", "places"),
    [
        (["[::]:9000"], ["OWN:9000"]),
        (["0.0.0.0:9000", "[::]:9000"], ["OWN:9000"]),
        (["127.0.0.1:23000"], ["OWN:23000"]),
        (["127.0.0.1:10001", "OWN:10001"], ["OWN:10001"]),
        (["OWN:45000", "127.0.0.1:45000"], ["OWN:45000", "127.0.0.1:45000"]),
        (["[::]:0", "127.0.0.1:0", "10.0.0.1:9000"], ["[::]:0", "127.0.0.1:0", "10.0.0.1:9000"]),
    ],
    ids=["Serve", "both kinds", "a client's server", "the clients' proxy", "the agent", "nobody else's"],
)
def test_a_server_of_grpc_is_at_its_pods_address(said: list[str], places: list[str], tmp_path: Path) -> None:
    """Those of two pods would share the port, and answer for one another. Only the agent is on the loopback, too."""
    _, _, pod = a_pod(tmp_path)
    kind = type("Kind", (Server,), {"add_insecure_port": Server.add_insecure_port})
    patch_servers(pod, a_module(Server=kind))
    server = kind()
    words = [one.replace("OWN", pod.address) for one in said]
    assert [server.add_insecure_port(one) for one in words] == [int(one.rpartition(":")[2]) for one in said]
    assert server.places == [one.replace("OWN", pod.address) for one in places]


class Loop:
    """uvloop's, as far as it matters here: it tells what it was asked."""

    async def getaddrinfo(self, host: Any, port: Any, **named: Any) -> Any:
        """By the machine's resolver."""
        return "machine", host, port

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **named: Any) -> Any:
        """To a name or an address."""
        return host, port, named.get("server_hostname")

    async def create_server(self, factory: Any, host: Any = None, port: Any = None, **named: Any) -> Any:
        """At a name, an address, or several."""
        return host, port


def a_loop(pod: Pod) -> Any:
    kind = type("Kind", (Loop,), dict(vars(Loop)))
    patch_uvloop(pod, a_module(Loop=kind))
    return kind()


@pytest.mark.spec("ray-side:S10-11")
async def test_the_loop_of_rays_async_workers_finds_names_and_localhost_as_sockets_do(tmp_path: Path) -> None:
    """libuv does both by itself. The name stays the one that a certificate must tell; what is not ours is as it was."""
    cluster, _, pod = a_pod(tmp_path)
    other = f"{cluster.block}.0.7"
    cluster.names({"web.ns.svc.cluster.local": [other]})
    cluster.moved(other, 80, 24567)
    loop = a_loop(pod)
    with own_sockets(pod), socket.create_server((pod.address, 0)) as server:
        port = server.getsockname()[1]
        asked = [("web", 80), ("localhost", port), ("10.0.0.1", 5), (None, None)]
        found = [await loop.create_connection(None, *one) for one in asked]
        secure = await loop.create_connection(None, "web", 80, ssl=True)
        looked_up = [await loop.getaddrinfo(one, 80, type=socket.SOCK_STREAM) for one in ("web", "10.0.0.1")]

    assert found == [(other, 24567, None), (pod.address, port, None), ("10.0.0.1", 5, None), (None, None, None)]
    assert secure == (other, 24567, "web")
    assert [one[4] for one in looked_up[0]] == [(other, 80)]
    assert looked_up[1] == ("machine", "10.0.0.1", 80)


async def test_the_loop_of_rays_async_workers_may_serve_at_its_pods_name(tmp_path: Path) -> None:
    """Sockets may."""
    _, _, pod = a_pod(tmp_path)
    said = ["one", "0.0.0.0", ["0.0.0.0", "::"], None]
    found = [await a_loop(pod).create_server(None, host, 8000) for host in said]
    assert found == [(host, 8000) for host in (pod.address, *said[1:])]


async def test_the_loop_of_rays_async_workers_asks_nobody_for_a_name_that_the_cluster_has_not(tmp_path: Path) -> None:
    """The machine's name server least of all."""
    _, _, pod = a_pod(tmp_path)
    loop = a_loop(pod)
    name = "nobody.ns.svc.cluster.local"
    with own_sockets(pod):
        for asked in (loop.getaddrinfo(name, 80), loop.create_connection(None, name, 80)):
            with pytest.raises(socket.gaierror, match="is not in this cluster"):
                await asked
